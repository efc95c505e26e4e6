"""Answers as models write them, and what they mean."""

import json
import re
from dataclasses import dataclass, field

from mlxd.wire.output_spec import Tool, ToolRules
from mlxd.wire.parts import Reasoning, Text, ToolCallArguments, ToolCallBegun
from mlxd.worker.text.parsers.parser import Hidden

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "scale": {"type": "number"},
        "exact": {"type": "boolean"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "options": {"$ref": "#/$defs/options"},
        "anything": {},
        "mixed": {"type": ["integer", "string"]},
        "unit": {"enum": ["C", "F"]},
    },
    "$defs": {"options": {"type": "object"}},
}
RULES = ToolRules(
    tools=[
        Tool(name="weather", parameters=PARAMETERS),
        Tool(name="now"),
        Tool(name="write-file", parameters={"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}}),
        Tool(name="ns.search", parameters={"type": "object", "properties": {"query": {"type": "string"}}}),
    ]
)


@dataclass(frozen=True)
class Case:
    """An answer ``written`` by a model. ``calls`` are names with their arguments: an object, or JSON text where they never become one.
    ``warns``: something could not be read.
    """

    name: str
    written: str
    content: str = ""
    calls: list[tuple[str, dict | str]] = field(default_factory=list)
    reasoning: str = ""
    warns: bool = False


def text(name, written, **rest):
    """An answer that is content as it is written."""
    return Case(name, written, content=written, **rest)


def broken(name, written, arguments):
    """An answer that is a call of "weather" whose arguments never become JSON."""
    return Case(name, written, calls=[("weather", arguments)], warns=True)


@dataclass(frozen=True)
class Told:
    """What a parser told, joined."""

    content: str
    reasoning: str
    calls: list[tuple[str, str]]
    warnings: list[str]
    ids: list[str] = field(compare=False)


def told(parts, warnings):
    """What parts say when they are joined."""
    calls, ids = [], []
    for part in parts:
        if isinstance(part, ToolCallBegun):
            assert part.index == len(calls)
            calls.append([part.name, ""])
            ids.append(part.id)
        elif isinstance(part, ToolCallArguments):
            assert part.index == len(calls) - 1
            assert part.text
            calls[-1][1] += part.text
        else:
            assert isinstance(part, Text | Reasoning | Hidden)
    return Told(
        "".join(part.text for part in parts if isinstance(part, Text)),
        "".join(part.text for part in parts if isinstance(part, Reasoning)),
        [tuple(call) for call in calls],
        list(warnings),
        ids,
    )


def read(parser, pieces, controls=frozenset()):
    """What ``parser`` makes of ``pieces``, of which those in ``controls`` are control tokens."""
    parts = [part for piece in pieces for part in (parser.control(piece) if piece in controls else parser.push(piece))]
    return told([*parts, *parser.finish()], parser.warnings)


def cut(written, size, controls=frozenset()):
    """``written`` in pieces of ``size`` characters, control tokens by themselves."""
    if not controls:
        return [written[at : at + size] for at in range(0, len(written), size)]
    pattern = "(" + "|".join(map(re.escape, sorted(controls, key=len, reverse=True))) + ")"
    spans = [span for span in re.split(pattern, written) if span]
    return [piece for span in spans for piece in ([span] if span in controls else cut(span, size))]


def check(case, found):
    """Whether what was told is what the case means."""
    assert found.content == case.content, case.name
    assert found.reasoning == case.reasoning, case.name
    assert [name for name, _ in found.calls] == [name for name, _ in case.calls], case.name
    for (_, arguments), (_, expected) in zip(found.calls, case.calls, strict=True):
        assert (arguments if isinstance(expected, str) else json.loads(arguments)) == expected, case.name
    assert bool(found.warnings) == case.warns, case.name
    assert len(set(found.ids)) == len(found.ids), case.name
