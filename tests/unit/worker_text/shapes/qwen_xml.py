"""What Qwen3-Coder and its kin write."""

from tests.unit.worker_text.shapes.case import Case, text


def call(name, **arguments):
    inside = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{inside}</function>\n</tool_call>"


def one(name, key, value, expected, **rest):
    return Case(name, call("weather", **{key: value}), calls=[("weather", {key: expected})], **rest)


SHOWN = call("weather", city="Oslo", days="2")
CODE = 'def f(x):\n    """{[("\'\\n\\\\" \'"""\n    return {"a": [x]}  # </tool_call> [TOOL_CALLS] <|channel|>\n'

CASES = [
    one("a string", "city", "Paris", "Paris"),
    one("a string that looks like a number", "city", "123", "123"),
    one("a string that looks like null", "city", "null", "null"),
    one("a string in quotes", "city", '"Paris"', '"Paris"'),
    one("an empty string", "city", "", ""),
    one("lines, of which only those of the tags are theirs", "city", "\n  two\n\n", "\n  two\n\n"),
    one("unicode", "city", "Zürich 東京 🌧️ \u2028", "Zürich 東京 🌧️ \u2028"),
    one("code with brackets, quotes and markers", "city", CODE, CODE),
    one("the end of a parameter in a value", "city", "a </parameter> b", "a </parameter> b"),
    one("a lone end of a function in a value", "city", "a </function> b", "a </function> b"),
    one("the beginning of a function in a value", "city", "<function=", "<function="),
    one("a long value", "city", "x" * 5000, "x" * 5000),
    one("zeros before an integer", "days", "007", 7),
    one("a whole number that is written as a float", "days", "5.0", 5),
    one("a negative integer", "days", "-3", -3),
    one("an exponent", "scale", "1e3", 1000.0),
    one("a boolean of Python", "exact", "True", True),
    one("a boolean of JSON", "exact", "false", False),
    one("null where it may be null", "note", "null", None),
    one("None where it may be null", "note", "None", None),
    one("a text that begins like null", "note", "nullable", "nullable"),
    one("a text where it may be null", "note", "yes", "yes"),
    one("an object", "options", '{"a": {"b": [1, "x }"]}}', {"a": {"b": [1, "x }"]}}),
    one("an object of Python", "options", "{'a': None, 'b': (1, True)}", {"a": None, "b": [1, True]}),
    one("a long list", "tags", '["' + "y" * 600 + '"]', ["y" * 600]),
    one("a list over several lines", "tags", '[\n  "a",\n  "b"\n]', ["a", "b"]),
    one("a value of an enum", "unit", "C", "C"),
    one("a number where text may stand too", "mixed", "5", 5),
    one("text where a number may stand too", "mixed", "5 days", "5 days"),
    one("an object where anything may stand", "anything", '{"a": 1}', {"a": 1}),
    one("a word where anything may stand", "anything", "five", "five"),
    one("a parameter that the tool has not", "wind", "5", "5"),
    one("an integer that is none stays text", "days", "soon", "soon", warns=True),
    one("an object that is none stays text", "options", "{oops", "{oops", warns=True),
    Case(
        "a list that ceases to be one goes on as it is written",
        call("weather", tags='["' + "y" * 600 + '", oops]'),
        calls=[("weather", '{"tags": ["' + "y" * 600 + '", oops]\n</function>\n')],
        warns=True,
    ),
    Case("no arguments", call("now"), calls=[("now", {})]),
    Case("no arguments on one line", "<tool_call><function=now></function></tool_call>", calls=[("now", {})]),
    Case("text before", "I look.\n\n" + call("now"), content="I look.\n\n", calls=[("now", {})]),
    Case("text behind", call("now") + "\n\nDone.", content="\n\nDone.", calls=[("now", {})]),
    Case(
        "the first, the middle and the last without arguments",
        call("now") + "\n" + call("weather", city="a") + "\n" + call("now"),
        calls=[("now", {}), ("weather", {"city": "a"}), ("now", {})],
    ),
    Case(
        "text between calls",
        call("now") + " and " + call("weather", days="1"),
        content=" and ",
        calls=[("now", {}), ("weather", {"days": 1})],
    ),
    Case(
        "two functions in one tag",
        "<tool_call><function=now></function><function=weather><parameter=days>1</parameter></function></tool_call>",
        calls=[("now", {}), ("weather", {"days": 1})],
    ),
    Case("without its tag", call("now")[len("<tool_call>\n") :], calls=[("now", {})]),
    Case(
        "without the end of its tag",
        call("weather", city="a").removesuffix("\n</tool_call>"),
        calls=[("weather", {"city": "a"})],
    ),
    Case(
        "without the end of its function",
        "<tool_call><function=weather><parameter=city>a</parameter></tool_call>",
        calls=[("weather", {"city": "a"})],
    ),
    Case("a name with a hyphen", call("write-file", path="a b"), calls=[("write-file", {"path": "a b"})]),
    Case("a name with a dot", call("ns.search", query="q"), calls=[("ns.search", {"query": "q"})]),
    Case(
        "a file that shows a call",
        call("write-file", path="a.md", text=f"See:\n{SHOWN}\nand {SHOWN} </parameter> end"),
        calls=[("write-file", {"path": "a.md", "text": f"See:\n{SHOWN}\nand {SHOWN} </parameter> end"})],
    ),
    Case(
        "a file that ends with a call, and a parameter behind it",
        call("write-file", text=SHOWN, path="a.md"),
        calls=[("write-file", {"text": SHOWN, "path": "a.md"})],
    ),
    Case(
        "a file that names a tag, and a parameter behind it",
        call("write-file", text="<function=x>", path="a.md"),
        calls=[("write-file", {"text": "<function=x>", "path": "a.md"})],
    ),
    text("a tool that was not offered", call("weathers", city="a"), warns=True),
    text("a call in a code block", f"So:\n```xml\n{SHOWN}\n```\n"),
    text("a marker between back quotes", "Write `<tool_call>` and `<function=now>`."),
    text("no function behind a marker", "<tool_call> is a tag", warns=True),
    Case(
        "JSON in its tag", '<tool_call>\n{"name": "weather", "arguments": {"city": "a"}}\n</tool_call>', calls=[("weather", {"city": "a"})]
    ),
    text("JSON that is no call, in its tag", '<tool_call>{"city": "a"}</tool_call>', warns=True),
    Case(
        "a value that is not closed",
        call("weather", days="1", city="a </function> b").replace("</parameter>\n</function>", "</function>"),
        calls=[("weather", {"days": 1, "city": "a </function> b"})],
    ),
    text("half a marker at the end", "a <tool_c"),
    text("a name that is cut off", "<tool_call>\n<function=wea", warns=True),
    text("a function that is cut off", "<tool_call>\n<function=now>\n", warns=True),
    Case(
        "a value that is cut off",
        "<tool_call>\n<function=weather>\n<parameter=city>\nPar",
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
    Case(
        "an integer that is cut off",
        "<tool_call><function=weather><parameter=days>1",
        calls=[("weather", '{"days": 1')],
        warns=True,
    ),
    Case(
        "a function that is cut off behind a parameter",
        "<tool_call><function=weather><parameter=city>a</parameter>\n",
        calls=[("weather", '{"city": "a"\n')],
        warns=True,
    ),
]
