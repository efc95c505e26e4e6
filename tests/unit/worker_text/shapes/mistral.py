"""What Mistral's models write."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, broken, text

CALLS, ARGS = "[TOOL_CALLS]", "[ARGS]"


def call(name, arguments):
    return f"{CALLS}{name}{ARGS}{json.dumps(arguments, ensure_ascii=False)}"


def older(name, arguments):
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def array(*calls):
    return f"{CALLS} [{', '.join(calls)}]"


PARIS = {"city": "Paris"}
WEATHER, NOTHING = ("weather", PARIS), ("now", {})

CASES = [
    *common.cases(call, lambda *calls: "".join(calls)),
    *common.cases(older, array),
    Case("on lines", call("now", {}) + "\n" + call("weather", PARIS), calls=[NOTHING, WEATHER]),
    Case("a marker for all", f"{CALLS}now{ARGS}{{}}weather{ARGS}{json.dumps(PARIS)}", calls=[NOTHING, WEATHER]),
    Case("with an id", f"{CALLS}now[CALL_ID]abcDEF123{ARGS}{{}}", calls=[NOTHING]),
    Case("without a marker of the arguments", f'{CALLS}weather{{"city": "Paris"}}', calls=[WEATHER]),
    Case("an object instead of an array", f"{CALLS}{older('weather', PARIS)}", calls=[WEATHER]),
    Case("ids in the array", f'{CALLS}[{{"name": "now", "arguments": {{}}, "id": "abcDEF123"}}]', calls=[NOTHING]),
    Case("an array without its end", f"{CALLS}[{older('weather', PARIS)}", calls=[WEATHER]),
    Case("arguments as a string", f'{CALLS}[{{"name": "weather", "arguments": "{{\\"city\\": \\"Paris\\"}}"}}]', calls=[WEATHER]),
    Case("without a marker", f"[{older('weather', PARIS)}, {older('now', {})}]", calls=[WEATHER, NOTHING]),
    Case("without a marker, then with one", older("weather", PARIS) + call("now", {}), calls=[WEATHER, NOTHING]),
    Case("arguments on a line of their own", f'{CALLS}weather\n{{"city": "Paris"}}', calls=[WEATHER]),
    Case("white space", f'{CALLS} weather {ARGS} {{"city": "Paris"}}', calls=[WEATHER]),
    Case("a word behind", f"{call('now', {})}Done", content="Done", calls=[NOTHING]),
    Case(
        "a call, then one that is malformed",
        f"{CALLS}[{older('now', {})}, {{'name'}}]",
        content=", {'name'}]",
        calls=[NOTHING],
        warns=True,
    ),
    text("a tool that was not offered", call("delete", {}), warns=True),
    text("a tool that was not offered, older", array(older("delete", {})), warns=True),
    text("an array of nothing", f"{CALLS}[]", warns=True),
    text("an array of something else", f"{CALLS}[1, 2]", warns=True),
    text("nothing", CALLS, warns=True),
    text("prose behind a marker", f"{CALLS} is what it writes.\nThen more.", warns=True),
    text("a marker in a block of code", f"```\n{call('now', {})}\n```"),
    text("a marker in back quotes", f"It is `{CALLS}`."),
    text("half a marker", "x [TOOL_CAL"),
    text("brackets", "a[0] [TOOL] [1, 2] [THINK]"),
    text("arguments that are a list", f"{CALLS}weather{ARGS}[1]", warns=True),
    text("single quotes", f"{CALLS}[{{'name': 'now', 'arguments': {{}}}}]", warns=True),
    text("cut off before the arguments", f"{CALLS}weather{ARGS}", warns=True),
    text("cut off in the name", f"{CALLS}weat", warns=True),
    broken("cut off in the arguments", f'{CALLS}weather{ARGS}{{"city": "Pa', '{"city": "Pa'),
    broken("a comma before the end", f'{CALLS}weather{ARGS}{{"city": "a",}}', '{"city": "a",}'),
]
