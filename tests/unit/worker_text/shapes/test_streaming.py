"""Arguments come while the model writes them."""

import json

import pytest

from mlxd.types import ToolShape
from mlxd.wire.parts import ToolCallArguments, ToolCallBegun
from mlxd.worker.text.parsers.harmony import HarmonyParser
from mlxd.worker.text.parsers.registry import TOOLS
from tests.unit.worker_text.shapes import (
    cohere,
    deepseek,
    gemma,
    glm,
    harmony,
    hermes,
    json_bare,
    kimi,
    longcat,
    minimax,
    mistral,
    pythonic,
    qwen_xml,
)
from tests.unit.worker_text.shapes.case import RULES, cut

TEXT = "All work and no play. " * 100
LIST = ["All work and no play. " * 5] * 20


def qwen_call(name, arguments):
    return qwen_xml.call(name, **{key: value if isinstance(value, str) else json.dumps(value) for key, value in arguments.items()})


WRITERS = {
    "hermes": (ToolShape.HERMES, hermes.call),
    "qwen 2.5": (ToolShape.HERMES, json_bare.call),
    "llama 3": (ToolShape.JSON, lambda *one: json_bare.marked(json_bare.call(*one))),
    "mistral": (ToolShape.MISTRAL, mistral.call),
    "older mistral": (ToolShape.MISTRAL, lambda *one: mistral.array(mistral.older(*one))),
    "longcat": (ToolShape.LONGCAT, longcat.call),
    "qwen_xml": (ToolShape.QWEN_XML, qwen_call),
    "glm": (ToolShape.GLM, glm.call),
    "minimax": (ToolShape.MINIMAX, lambda *one: minimax.section(minimax.call(*one))),
    "deepseek v3": (ToolShape.DEEPSEEK, lambda *one: deepseek.section(deepseek.fenced(*one))),
    "deepseek v3.1": (ToolShape.DEEPSEEK, lambda *one: deepseek.section(deepseek.plain(*one))),
    "deepseek v3.2": (ToolShape.DEEPSEEK, lambda *one: deepseek.marked_section(deepseek.marked(*one))),
    "kimi": (ToolShape.KIMI, lambda *one: kimi.section(kimi.call(*one))),
    "cohere": (ToolShape.COHERE, lambda *one: cohere.section(cohere.call(*one))),
    "functiongemma": (ToolShape.GEMMA, gemma.old),
    "gemma 4": (ToolShape.GEMMA, gemma.new),
    "llama 4": (ToolShape.PYTHONIC, lambda *one: pythonic.bare(pythonic.call(*one))),
    "lfm2": (ToolShape.PYTHONIC, lambda *one: pythonic.marked(pythonic.call(*one))),
    "gpt-oss": (ToolShape.HARMONY, harmony.call),
}  # fmt: skip


def arguments_so_far(shape, pieces):
    parser = HarmonyParser(RULES) if shape is ToolShape.HARMONY else TOOLS[shape](RULES)
    parts = [part for piece in pieces for part in (parser.control(piece) if piece in harmony.CONTROLS else parser.push(piece))]
    assert sum(isinstance(part, ToolCallBegun) for part in parts) <= 1
    return "".join(part.text for part in parts if isinstance(part, ToolCallArguments))


@pytest.mark.parametrize(("writer", "value"), [(writer, value) for writer in WRITERS for value in ({"city": TEXT}, {"tags": LIST})])
def test_what_is_written_of_a_value_was_told(writer, value):
    shape, write = WRITERS[writer]
    pieces = cut(write("weather", value), 3, harmony.CONTROLS if shape is ToolShape.HARMONY else frozenset())
    whole = arguments_so_far(shape, pieces)
    assert json.loads(whole) == value
    for tenths in (3, 5, 9):
        so_far = arguments_so_far(shape, pieces[: len(pieces) * tenths // 10])
        assert whole.startswith(so_far)
        assert len(so_far) > len(whole) * tenths / 10 - 150
