"""What MiniMax M2 writes."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text


def call(name, arguments):
    def spelled(value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    inside = "".join(f'<parameter name="{key}">{spelled(value)}</parameter>\n' for key, value in arguments.items())
    return f'<invoke name="{name}">\n{inside}</invoke>\n'


def section(*calls):
    return "<minimax:tool_call>\n" + "".join(calls) + "</minimax:tool_call>"


def one(name, key, value, expected, **rest):
    return Case(name, section(call("weather", {key: value})), calls=[("weather", {key: expected})], **rest)


SHOWN = section(call("weather", {"city": "Oslo", "days": 2}))

CASES = [
    *common.cases(call, section),
    one("the end of a value in a value", "city", "a </parameter> b", "a </parameter> b"),
    one("a parameter that the tool has not", "wind", "5", "5"),
    one("an integer that is none stays text", "days", "soon", "soon", warns=True),
    Case("two sections", section(call("now", {})) + "\n" + section(call("now", {})), calls=[("now", {}), ("now", {})]),
    Case(
        "names without quotes",
        "<minimax:tool_call><invoke name=weather><parameter name='city'>a</parameter></invoke></minimax:tool_call>",
        calls=[("weather", {"city": "a"})],
    ),
    Case(
        "a file that shows a call",
        section(call("write-file", {"text": f"See {SHOWN} there", "path": "a"})),
        calls=[("write-file", {"text": f"See {SHOWN} there", "path": "a"})],
    ),
    Case("without the end of its section", section(call("now", {})).removesuffix("</minimax:tool_call>"), calls=[("now", {})]),
    Case(
        "a section whose end is cut off",
        section(call("now", {})).removesuffix(":tool_call>"),
        calls=[("now", {})],
    ),
    text("a call in a code block", f"~~~\n{SHOWN}\n~~~"),
    text("a tool that was not offered", section(call("weathers", {"city": "a"})), warns=True),
    text("a section without a call", section("nothing"), warns=True),
    Case(
        "the second tool was not offered",
        section(call("now", {}), call("then", {})),
        content='\n<invoke name="then">\n</invoke>\n</minimax:tool_call>',
        calls=[("now", {})],
        warns=True,
    ),
    text("half a marker", "x <minimax:to"),
    Case(
        "a value that is cut off",
        '<minimax:tool_call><invoke name="weather"><parameter name="city">Par',
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
]
