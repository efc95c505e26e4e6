"""What FunctionGemma and Gemma 4 write."""

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text

OLD, OLD_END = "<start_function_call>", "<end_function_call>"
NEW, NEW_END = "<|tool_call>", "<tool_call|>"


def literal(value, quote):
    match value:
        case str():
            return f"{quote}{value}{quote}"
        case dict():
            return "{" + ",".join(f"{literal(key, quote)}:{literal(one, quote)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ",".join(literal(one, quote) for one in value) + "]"
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case _:
            return str(value)


def call_with(opens, closes, quote):
    def call(name, arguments):
        inside = ",".join(f"{key}:{literal(value, quote)}" for key, value in arguments.items())
        return f"{opens}call:{name}{{{inside}}}{closes}"

    return call


def named(prefix, cases):
    return [Case(f"{prefix}: {case.name}", case.written, case.content, case.calls, case.reasoning, case.warns) for case in cases]


old, new = call_with(OLD, OLD_END, "<escape>"), call_with(NEW, NEW_END, '<|"|>')

CASES = [
    *named("FunctionGemma", common.cases(old, lambda *calls: "".join(calls))),
    *named("Gemma 4", common.cases(new, lambda *calls: "".join(calls))),
    Case(
        "keys without quotes inside",
        NEW + 'call:weather{options:{a:{b:<|"|>x<|"|>}}}' + NEW_END,
        calls=[("weather", {"options": {"a": {"b": "x"}}})],
    ),
    Case("None of Python", NEW + "call:weather{note:None}" + NEW_END, calls=[("weather", {"note": None})]),
    Case(
        "a string without quotes",
        OLD + "call:weather{city:Rio de Janeiro,days:2}" + OLD_END,
        calls=[("weather", {"city": "Rio de Janeiro", "days": 2})],
    ),
    Case("a string in JSON's quotes", NEW + r'call:weather{city: "a, }\"\u00e9\\"}' + NEW_END, calls=[("weather", {"city": 'a, }"é\\'})]),
    Case(
        "keys in JSON's quotes",
        NEW + """call:weather{"days": 2, 'exact': true}""" + NEW_END,
        calls=[("weather", {"days": 2, "exact": True})],
    ),
    Case("round brackets", NEW + 'call:weather(city: "a")' + NEW_END, calls=[("weather", {"city": "a"})]),
    Case("a forgotten comma", OLD + "call:weather{city:<escape>a<escape>days:2}" + OLD_END, calls=[("weather", {"city": "a", "days": 2})]),
    Case(
        "white space",
        OLD + " call: weather { days : 2 , tags : [ <escape>a<escape> ] } " + OLD_END,
        calls=[("weather", {"days": 2, "tags": ["a"]})],
    ),
    Case("two calls in one", NEW + "call:now{}call:now{}" + NEW_END, calls=[("now", {}), ("now", {})]),
    Case("the beginning of the result", old("now", {}) + "<start_function_response>", calls=[("now", {})]),
    Case("without its end", NEW + "call:now{}", calls=[("now", {})]),
    text("a tool that was not offered", new("then", {}), warns=True),
    text("no call", NEW + "now" + NEW_END, warns=True),
    text("a call in a code block", f"```\n{new('now', {})}\n```"),
    text("a name that is cut off", OLD + "call:no", warns=True),
    text("arguments that are cut off at once", OLD + "call:now{", warns=True),
    text("half a marker", "x <start_functi"),
    Case("a string that is cut off", NEW + 'call:weather{city:<|"|>Par', calls=[("weather", '{"city": "Par')], warns=True),
    Case("a number that is cut off", NEW + "call:weather{days:1", calls=[("weather", '{"days": 1')], warns=True),
    Case("the wrong bracket", NEW + "call:weather{tags:[1}" + NEW_END + "x", content="x", calls=[("weather", '{"tags": [1}')], warns=True),
]
