"""What GLM 4.5 and later write."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text


def call(name, arguments):
    def spelled(value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    inside = "".join(f"<arg_key>{key}</arg_key>\n<arg_value>{spelled(value)}</arg_value>\n" for key, value in arguments.items())
    return f"<tool_call>{name}\n{inside}</tool_call>"


def one(name, key, value, expected, **rest):
    return Case(name, call("weather", {key: value}), calls=[("weather", {key: expected})], **rest)


SHOWN = call("weather", {"city": "Oslo", "days": 2})

CASES = [
    *common.cases(call),
    one("the end of a value in a value", "city", "a </arg_value> b", "a </arg_value> b"),
    one("white space around a string is the string's", "city", "  a\n", "  a\n"),
    one("an integer with zeros", "days", "007", 7),
    one("a boolean of Python", "exact", "True", True),
    one("an object of Python", "options", "{'a': None}", {"a": None}),
    one("a number of a parameter that the tool has not", "wind", "5", 5),
    one("text of a parameter that the tool has not", "wind", "five", "five"),
    one("a number where anything may stand", "anything", "5", 5),
    one("an integer that is none stays text", "days", "soon", "soon", warns=True),
    Case("no arguments, inline", "<tool_call>now</tool_call>", calls=[("now", {})]),
    Case(
        "all in one line",
        "Well.<tool_call>weather<arg_key>city</arg_key><arg_value>a</arg_value><arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
        content="Well.",
        calls=[("weather", {"city": "a", "days": 2})],
    ),
    Case(
        "a new line that is spelled out",
        "<tool_call>weather\n<arg_key>city</arg_key>\\n<arg_value>a</arg_value>\n</tool_call>",
        calls=[("weather", {"city": "a"})],
    ),
    Case(
        "a file that shows a call",
        call("write-file", {"text": f"See {SHOWN} there", "path": "a"}),
        calls=[("write-file", {"text": f"See {SHOWN} there", "path": "a"})],
    ),
    Case(
        "text between calls",
        call("now", {}) + " and " + call("now", {}),
        content=" and ",
        calls=[("now", {}), ("now", {})],
    ),
    Case("JSON in its tag", '<tool_call>{"name": "weather", "arguments": {"city": "a"}}</tool_call>', calls=[("weather", {"city": "a"})]),
    text("a call in a code block", f"```\n{SHOWN}\n```"),
    text("a tool that was not offered", call("weathers", {"city": "a"}), warns=True),
    text("a key without its tag", "<tool_call>weather\ncity</arg_key>\n<arg_value>a</arg_value>\n</tool_call>", warns=True),
    text("a marker without a name", "<tool_call> ", warns=True),
    text("a name that is cut off", "<tool_call>now", warns=True),
    text("half a marker", "x <tool_cal"),
    Case(
        "a value that is cut off",
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Par",
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
    Case(
        "a key that is cut off",
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>a</arg_value>\n<arg_key>da",
        calls=[("weather", '{"city": "a"\n<arg_key>da')],
        warns=True,
    ),
]
