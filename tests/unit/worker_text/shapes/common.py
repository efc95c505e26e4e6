"""Calls that every shape can write: each shape says how."""

from tests.unit.worker_text.shapes.case import Case

CODE = 'def f(x):\n    """{[("\'\\n\\\\" \'"""\n    return {"a": [x], \'b\': x}  # ]) } ``` <b>\n'
MARKERS = "</tool_call> [TOOL_CALLS] <|channel|> </function> <|END_ACTION|> </arg_value> <end_function_call> )] <|tool_call_end|> {"
SHELL = "cp ~/{a,b.txt /tmp && echo \"$X\" 'it''s' | grep -F \"]\" \\\n  -v"

VALUES = {
    "a string": ("city", "Paris"),
    "a string that looks like a number": ("city", "123"),
    "an empty string": ("city", ""),
    "unicode": ("city", "Zürich 東京 🌧️ \u2028"),
    "code": ("city", CODE),
    "a command": ("city", SHELL),
    "markers": ("city", MARKERS),
    "a path with backslashes": ("city", "C:\\new\\table\\u00e9"),
    "a long string": ("city", "word " * 400),
    "an integer": ("days", 7),
    "a negative integer": ("days", -3),
    "a float": ("scale", 1.5),
    "true": ("exact", True),
    "false": ("exact", False),
    "null": ("note", None),
    "a text that may be null": ("note", "nullable"),
    "an object": ("options", {"a": {"b c": [1, "x }", None, True]}, "d": {}}),
    "an empty list": ("tags", []),
    "a long list": ("tags", ["tag " * 100, "b"]),
}


def cases(call, join=lambda *calls: "\n".join(calls), skip=()):
    """The cases that any shape must read. ``call(name, arguments)`` writes one, ``join`` an answer of several."""
    every = {"city": "a", "days": 1, "exact": True}
    return [
        *(
            Case(name, join(call("weather", {key: value})), calls=[("weather", {key: value})])
            for name, (key, value) in VALUES.items()
            if name not in skip
        ),
        Case("several arguments", join(call("weather", every)), calls=[("weather", every)]),
        Case("no arguments", join(call("now", {})), calls=[("now", {})]),
        Case(
            "the first, the middle and the last without arguments",
            join(call("now", {}), call("weather", {"city": "a"}), call("now", {}), call("weather", {"days": 2}), call("now", {})),
            calls=[("now", {}), ("weather", {"city": "a"}), ("now", {}), ("weather", {"days": 2}), ("now", {})],
        ),
        Case("text before", "I look.\n" + join(call("now", {})), content="I look.\n", calls=[("now", {})]),
        Case("text behind", join(call("now", {})) + "\n\nDone.", content="\n\nDone.", calls=[("now", {})]),
        Case("a name with a hyphen", join(call("write-file", {"path": "a b"})), calls=[("write-file", {"path": "a b"})]),
        Case("a name with a dot", join(call("ns.search", {"query": "q"})), calls=[("ns.search", {"query": "q"})]),
    ]
