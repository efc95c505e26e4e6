"""Whether steps are compiled, and what is said of it: decided by what the model does, not by its name."""

import mlx.core as mx
import pytest

from mlxd.worker.runtime.paged.compiled.trial import try_compiling
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from tests.worker.compiled.steps import GATHER
from tests.worker.runner_rig import architecture

pytestmark = pytest.mark.usefixtures("traced")


class Meddling:
    """A model that does something with its logits."""

    def __init__(self, model, step, meddle):
        self.__dict__.update(model=model, step=step, meddle=meddle)

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, inputs, cache):
        return self.meddle(self.model(inputs, cache=cache), self.step)


def tried(wish="on", *, name="llama", meddle=None, regions=GATHER):
    loaded = architecture(name)
    model = PagedModel(loaded.model, Geometry(8, 4), fused=False)
    model.ways.regions = regions or model.ways.regions
    if meddle is not None:
        model._model = Meddling(loaded.model, model._step, meddle)
    found = try_compiling(loaded, model, wish)
    assert (model.compiled is not None) == found.is_used
    assert model.token_bytes or not found.is_used
    assert model.ways.regions == (regions or model.ways.regions)
    return found


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt_oss", "qwen3_moe"])
def test_what_is_proved_is_compiled(name):
    found = tried(name=name)
    assert found.is_used
    assert "gather" in found.reason


def test_nothing_is_compiled_unless_it_is_wanted():
    assert tried("off").reason == 'batching.compile = "off"'
    assert not tried("off").is_used


def test_on_a_cpu_it_has_to_be_asked_for():
    found = tried("auto")
    assert not found.is_used
    assert "CPU" in found.reason


def test_rows_that_attend_one_by_one_are_not_compiled():
    found = tried(regions=None)
    assert not found.is_used
    assert "one by one" in found.reason


def test_a_model_with_recurrent_states_is_not_compiled():
    found = tried(name="falcon_h1")
    assert not found.is_used
    assert "recurrent" in found.reason


def test_a_model_that_looks_at_values_is_not_compiled():
    found = tried(meddle=lambda logits, _: logits + logits.sum().item() * 0)
    assert not found.is_used
    assert "cannot be compiled (ValueError" in found.reason


def test_a_model_that_computes_with_what_python_knows_of_a_step_is_not_compiled():
    """It would be a constant of the function."""
    found = tried(meddle=lambda logits, step: logits * mx.arange(logits.shape[-1]) ** (step.plan.chunks[0].start % 3))
    assert not found.is_used
    assert "differ" in found.reason


def test_where_mlx_compiles_nothing_nothing_is_said_to_be_compiled():
    mx.disable_compile()
    found = tried()
    assert not found.is_used
    assert "compiles nothing" in found.reason
