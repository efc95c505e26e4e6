"""What Llama 3, Phi-4 and Granite write."""

import json

from tests.unit.worker_text.shapes import common, hermes
from tests.unit.worker_text.shapes.case import Case, broken, text

PYTHON = "<|python_tag|>"


def call(name, arguments):
    return json.dumps({"name": name, "parameters": arguments}, ensure_ascii=False)


def marked(*calls):
    return PYTHON + "; ".join(calls)


NOW, PARIS = call("now", {}), call("weather", {"city": "Paris"})
FIRST = [case for case in common.cases(call, lambda *calls: "; ".join(calls)) if case.name != "text before"]

WEATHER, NOTHING = ("weather", {"city": "Paris"}), ("now", {})

CASES = [
    *FIRST,
    *(case for case in common.cases(call, marked) if case.name in {"several arguments", "no arguments", "text before", "markers", "code"}),
    *(case for case in hermes.CASES if case.name.startswith(("bare", "in a block", "in two", "JSON", "a list", "code", "a block"))),
    Case(
        "behind a marker, several",
        marked(PARIS, NOW, PARIS),
        calls=[WEATHER, NOTHING, WEATHER],
    ),
    Case("behind a marker, on lines", f"{PYTHON}{PARIS}\n{NOW}", calls=[WEATHER, NOTHING]),
    Case("a marker for each", f"{PYTHON}{PARIS}\n{PYTHON}{NOW}", calls=[WEATHER, NOTHING]),
    Case("behind prose and a marker", f"I look.\n{PYTHON}{NOW}", content="I look.\n", calls=[NOTHING]),
    Case("with a type", '{"type": "function", "name": "now", "parameters": {}}', calls=[NOTHING]),
    Case("with the function's name as function", '{"type": "function", "function": "now", "parameters": {}}', calls=[NOTHING]),
    Case("OpenAI's own form", '{"type": "function", "function": {"name": "now", "arguments": "{}"}}', calls=[NOTHING]),
    Case("Phi-4's", f"<|tool_call|>[{PARIS}]<|/tool_call|>", calls=[WEATHER]),
    Case("Phi-4 mini's", f"functools[{PARIS}, {NOW}]", calls=[WEATHER, NOTHING]),
    Case("Granite's", f"<|tool_call|>[{PARIS}, {NOW}]", calls=[WEATHER, NOTHING]),
    Case("in tags", f"<tool_call>{PARIS}</tool_call>", calls=[WEATHER]),
    Case("Llama's own tags", '<function=weather>{"city": "Paris"}</function>', calls=[WEATHER]),
    Case("Llama's own tags twice", "<function=now>{}</function>\n<function=now>{}</function>", calls=[NOTHING, NOTHING]),
    Case("a comma between", f"{NOW}, {NOW}", calls=[NOTHING, NOTHING]),
    text("code behind a marker", f'{PYTHON}print("x")', warns=True),
    text("an import", "import functools\nfunctools.reduce(f, [1])"),
    text("functools with another list", "functools[1]", warns=True),
    text("a marker in a block of code", f"```\n{PYTHON}{NOW}\n```"),
    text("a tool that was not offered", f"{PYTHON}{call('delete', {})}", warns=True),
    text("half a marker", "x <|python_t"),
    text("a marker and nothing", PYTHON, warns=True),
    text("cut off before the name", f'{PYTHON}{{"name": "wea', warns=True),
    text("one of Llama's own tags in prose", "Write <function=NAME> first.", warns=True),
    broken("cut off in the arguments", '{"name": "weather", "parameters": {"city": "Par', '{"city": "Par'),
    broken("a comma before the end of the arguments", '{"name": "weather", "parameters": {"city": "a",}}', '{"city": "a",}}'),
]
