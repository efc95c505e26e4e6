"""mlx-lm's parsers of calls that are JSON, and LongCat's, say the same of well-formed ones, where they are right."""

import json
from importlib import import_module

import pytest

from mlxd.types import ToolShape
from mlxd.worker.text.parsers.registry import TOOLS
from tests.unit.worker_text.shapes import common, hermes, longcat, mistral
from tests.unit.worker_text.shapes.case import RULES, read

TOOLS_OF_OPENAI = [{"type": "function", "function": {"name": tool.name, "parameters": tool.parameters or {}}} for tool in RULES.tools]
ORACLES = {
    "json_tools": (ToolShape.HERMES, hermes.call),
    "mistral": (ToolShape.MISTRAL, mistral.call),
    "longcat": (ToolShape.LONGCAT, longcat.call),
}

STRIPPED = {"unicode", "code", "a long string"}  # white space at the end of a string, which is the string's
COMPARED = [(name, value) for name in ORACLES for value in common.VALUES if name != "longcat" or value not in STRIPPED]


def oracle(module, written):
    """What mlx-lm says of the call in ``written``: its name and arguments."""
    inside = written.split(module.tool_call_start, 1)[1]
    if module.tool_call_end:
        inside = inside.rsplit(module.tool_call_end, 1)[0]
    call = module.parse_tool_call(inside, TOOLS_OF_OPENAI)
    call = call[0] if isinstance(call, list) else call
    arguments = call["arguments"]
    return call["name"], json.loads(arguments) if isinstance(arguments, str) else arguments


@pytest.mark.parametrize(("name", "value"), COMPARED)
def test_mlx_lm_agrees(name, value):
    shape, write = ORACLES[name]
    key, meant = common.VALUES[value]
    written = write("weather", {key: meant})
    [(called, arguments)] = read(TOOLS[shape](RULES), [written]).calls
    assert (called, json.loads(arguments)) == oracle(import_module(f"mlx_lm.tool_parsers.{name}"), written)
