"""What Llama 4 and LFM2 write."""

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text

OPENS, CLOSES = "<|tool_call_start|>", "<|tool_call_end|>"


def call(name, arguments):
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def bare(*calls):
    return "[" + ", ".join(calls) + "]"


def marked(*calls):
    return OPENS + bare(*calls) + CLOSES


def one(name, written, expected, **rest):
    return Case(name, f"[weather(city={written})]", calls=[("weather", {"city": expected})], **rest)


def named(prefix, cases):
    return [Case(f"{prefix}: {case.name}", case.written, case.content, case.calls, case.reasoning, case.warns) for case in cases]


CASES = [
    *named("Llama 4", common.cases(call, bare)),
    *named("LFM2", common.cases(call, marked)),
    one("a bracket in quotes", '"x]y"', "x]y"),
    one("strings side by side", "'it''s'", "its"),
    one("strings side by side, with space", "'a' \"b\"\n 'c'", "abc"),
    one("three quotes", '"""a "b"\nc"""', 'a "b"\nc'),
    one("three quotes around quotes", "'''it's'''", "it's"),
    one("quotes that should be escaped", "'sed -n '360,450p' /x'", "sed -n '360,450p' /x"),
    one("code with quotes that should be escaped", "'print(l(3*x, m='-,'))'", "print(l(3*x, m='-,'))"),
    one("a new line in quotes", "'a\nb'", "a\nb"),
    one("escapes", r"'\x41\101\u00e9\n\q\\'", "AAé\n\\q\\"),
    one("a pair of surrogates", r"'\ud83d\ude00'", "😀"),
    one("a raw string", r"r'\d+'", "\\d+"),
    one("numbers of Python", "[007, -0x10, 1_000, .5, 1., +2, 1e3]", [7, -16, 1000, 0.5, 1.0, 2, 1000.0]),
    one("constants of JSON", "[true, false, null]", [True, False, None]),
    one("a tuple", "(1, 'a')", [1, "a"]),
    one("a set", "{'a', 'b', }", ["a", "b"]),
    one("a dictionary with other keys", "{1: 2, None: {'a': ()}}", {"1": 2, "null": {"a": []}}),
    Case("white space", "[ weather ( city = 'a' ,\n days=2, ) , now( ) ]", calls=[("weather", {"city": "a", "days": 2}), ("now", {})]),
    Case("two lists", "[now()]\n[now()] and more", content=" and more", calls=[("now", {}), ("now", {})]),
    Case("two lists in one line", "[now()][now()]", calls=[("now", {}), ("now", {})]),
    Case("a list in a line of its own", "I look.\n\n  [now()]", content="I look.\n\n  ", calls=[("now", {})]),
    Case("other markers", "<|python_start|>[now()]<|python_end|>", calls=[("now", {})]),
    Case("a call without a list", OPENS + "now()" + CLOSES, calls=[("now", {})]),
    Case("space behind the marker", OPENS + "\n [now()] " + CLOSES, calls=[("now", {})]),
    Case("JSON", '{"name": "weather", "parameters": {"days": 1}}', calls=[("weather", {"days": 1})]),
    Case("a list of JSON", '[{"name": "now", "parameters": {}}, {"name": "now", "arguments": {}}]', calls=[("now", {}), ("now", {})]),
    Case("JSON between markers", '<|python_start|>{"name": "now", "parameters": {}}<|python_end|>', calls=[("now", {})]),
    text("prose in brackets", "[O'Reilly] and [now] and\n[see] [1, 2]"),
    text("a list in a sentence", "Write [now()] for the time."),
    text("a list that is no call", "[1, 2]\n[\n{"),
    text("an unfinished list", "items = ["),
    text("an object that is no call", '{"name": "Bob", "age": 3}'),
    text("a call in a code block", "```python\n[now()]\n```"),
    text("a tool that was not offered", "[then()]"),
    text("a tool that was not offered, between markers", marked("then()"), warns=True),
    text("arguments without keywords", marked("weather('a')"), warns=True),
    text("an empty list between markers", marked(), warns=True),
    text("a name that is cut off", OPENS + "[wea", warns=True),
    text("a call that is cut off", "[weather(", warns=True),
    text("half a marker", "x <|tool_call_st"),
    Case(
        "the second tool was not offered",
        marked("now()", "then(x=1)"),
        content=", then(x=1)]" + CLOSES,
        calls=[("now", {})],
        warns=True,
    ),
    Case(
        "bytes", marked("now()", "weather(city=b'a')") + "x", content="x", calls=[("now", {}), ("weather", "{\"city\": b'a')]")], warns=True
    ),
    Case("an expression", "[weather(days=1 + 1)]", calls=[("weather", '{"days": 1 + 1)]')], warns=True),
    Case("a string that is cut off", OPENS + "[weather(city='Par", calls=[("weather", '{"city": "Par')], warns=True),
    Case("a list that is cut off", "[weather(tags=['a', ", calls=[("weather", '{"tags": ["a",')], warns=True),
]
