"""The shapes that ``[models.x.output]`` may name are those that there are, and a worker is told of them."""

from typing import get_args

import pytest

from mlxd.config.model_tables import OutputTable
from mlxd.config.schema import ModelTable
from mlxd.config.values import ReasoningShapeName, ToolShapeName
from mlxd.control.model.load_spec import load_spec, worker_spec
from mlxd.types import ReasoningShape, ToolShape


@pytest.mark.parametrize(("names", "shapes"), [(ToolShapeName, ToolShape), (ReasoningShapeName, ReasoningShape)])
def test_every_shape_has_its_name_in_the_configuration(names, shapes):
    assert set(get_args(names)) == {"auto", *shapes}


def spec(**output):
    return load_spec("m", ModelTable(source="builtin:smollm2-135m", output=OutputTable(**output)))


def test_auto_asks_for_nothing():
    assert (spec().tools, spec().reasoning) == (None, None)


def test_what_is_set_is_asked_for_and_needs_another_worker():
    set_ = spec(tools="qwen_xml", reasoning="none")
    assert (set_.tools, set_.reasoning) == (ToolShape.QWEN_XML, ReasoningShape.NONE)
    assert worker_spec(set_) != worker_spec(spec())


def test_strictness_needs_none():
    assert worker_spec(spec(strict_tools=True)) == worker_spec(spec())
