"""What Hermes and Qwen models write."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, broken, text


def tag(inside):
    return f"<tool_call>\n{inside}\n</tool_call>"


def call(name, arguments):
    return tag(json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False))


def one(name, inside, arguments, tool="weather", **rest):
    return Case(name, tag(inside), calls=[(tool, arguments)], **rest)


PARIS = {"city": "Paris"}
WEATHER, NOTHING = ("weather", PARIS), ("now", {})
BARE = '{"name": "weather", "arguments": {"city": "Paris"}}'
ESCAPED = '{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}'

CASES = [
    *common.cases(call),
    one("arguments before the name", '{"arguments": {"city": "Paris"}, "name": "weather"}', PARIS),
    one("parameters instead of arguments", '{"name": "weather", "parameters": {"city": "Paris"}}', PARIS),
    one("arguments as a JSON string", ESCAPED, PARIS),
    one("arguments that are null", '{"name": "now", "arguments": null}', {}, "now"),
    one("arguments that are an empty string", '{"name": "now", "arguments": ""}', {}, "now"),
    one("no arguments at all", '{"name": "now"}', {}, "now"),
    one("OpenAI's own form", '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}', PARIS),
    one("other members", '{"id": 7, "name": "weather", "thought": {"name": "x"}, "arguments": {"city": "Paris"}, "a": []}', PARIS),
    one("a brace too many", BARE + "}", PARIS),
    one("a brace too few", BARE[:-1], PARIS),
    one("white space everywhere", '{ \n "name"\t:\n"weather" , "arguments" : {  "city" : "Paris" } }\n', PARIS),
    one("a new line in a string", '{"name": "weather", "arguments": {"city": "Paris\nParis"}}', {"city": "Paris\nParis"}),
    one("escapes", '{"name": "weather", "arguments": {"city": "\\u0050\\n\\"\\/"}}', {"city": 'P\n"/'}),
    one("numbers as they are written", '{"name": "weather", "arguments": {"scale": 1e3}}', '{"scale": 1e3}'),
    one("numbers before the name as they are written", '{"arguments": {"scale": 1.50}, "name": "weather"}', '{"scale": 1.50}'),
    Case("in one line", f"<tool_call>{BARE}</tool_call>", calls=[WEATHER]),
    Case("a tag without its end", f"<tool_call>{BARE}", calls=[WEATHER]),
    Case("half the end of a tag", f"<tool_call>{BARE}</tool_c", calls=[WEATHER]),
    Case("the next tag before the end", f"<tool_call>{BARE}\n" + call("now", {}), calls=[WEATHER, NOTHING]),
    Case("a tag in a tag", f"<tool_call>\n<tool_call>\n{BARE}\n</tool_call>\n</tool_call>", calls=[WEATHER]),
    Case("a block of code in a tag", tag(f"```json\n{BARE}\n```"), calls=[WEATHER]),
    Case("two objects in a tag", tag(BARE + "\n" + BARE), calls=[WEATHER] * 2),
    Case("an array in a tag", tag(f"[{BARE}, {BARE}]"), calls=[WEATHER] * 2),
    Case("prose between", call("now", {}) + "\nand\n" + call("now", {}), content="\nand\n", calls=[NOTHING, NOTHING]),
    Case("white space before and behind", f"\n\n{call('now', {})}\n\n", calls=[NOTHING]),
    Case(
        "text before the end of its tag",
        f"<tool_call>{BARE} so</tool_call>",
        content="so</tool_call>",
        calls=[WEATHER],
        warns=True,
    ),
    # without tags
    Case("bare", BARE, calls=[WEATHER]),
    Case("bare, with parameters", BARE.replace("arguments", "parameters"), calls=[WEATHER]),
    Case("bare, arguments first", '{"arguments": {"city": "Paris"}, "name": "weather"}', calls=[WEATHER]),
    Case("bare, several", f"{BARE}\n{BARE}", calls=[WEATHER] * 2),
    Case("bare, an array", f"[{BARE}, {BARE}]", calls=[WEATHER] * 2),
    Case("in a block of code", f"```json\n{BARE}\n```", calls=[WEATHER]),
    Case("in a block of code of no language", f"\n```\n{BARE}\n```\n", calls=[WEATHER]),
    Case("in two blocks of code", f"```json\n{BARE}\n```\n```json\n{BARE}\n```", calls=[WEATHER] * 2),
    Case("bare, and text behind", f"{BARE}\n\nI wait.", content="\n\nI wait.", calls=[WEATHER]),
    Case("bare, then in a tag", f"{BARE}\n{call('now', {})}", calls=[WEATHER, NOTHING]),
    text("JSON that is no call", '{"city": "Paris", "name": "weather", "arguments": {}}'),
    text("JSON of a name only", '{"name": "weather"}'),
    text("JSON of another's name", '{"name": "Ada", "arguments": {"for": 1}}'),
    text("a list that is no call", '[{"name": "Ada"}, 1, []]'),
    text("JSON in prose", f"I would say {BARE}"),
    text("code in another language", "```python\n{'name': 'weather', 'arguments': {}}\n```"),
    text("a block of code behind prose", f"For example:\n```json\n{BARE}\n```\nas you see."),
    text("bare and malformed", "{'name': 'weather', 'arguments': {'city': 'Paris'}}"),
    text("bare and cut off before its name", '{"name": "weath'),
    text("bare and cut off behind its name", '{"name": "weather", "argum'),
    # no calls
    text("no call", "Hello, *world* < 3 <tool> {x}"),
    text("code that ends open", "items = ["),
    text("half a marker", "see <tool_ca"),
    text("a marker in a block of code", f"An example:\n```xml\n{call('now', {})}\n```\nof it."),
    text("a marker in a block of code with tildes", f"~~~\n{call('now', {})}\n~~~"),
    text("a marker in back quotes", "It writes `<tool_call>{}</tool_call>` then."),
    text("a marker in prose", "Calls stand in <tool_call> tags.", warns=True),
    text("garbage in a tag", "<tool_call>hello</tool_call>", warns=True),
    text("nothing in a tag", "<tool_call></tool_call>", warns=True),
    text("an empty array in a tag", "<tool_call>[]</tool_call>", warns=True),
    text("single quotes", tag("{'name': 'weather', 'arguments': {'city': 'Paris'}}"), warns=True),
    text("single quotes in the arguments", tag('{"name": "weather", "arguments": {\'city\': 1}}'), warns=True),
    text("doubled braces", tag('{{"name": "weather", "arguments": {{"city": "Paris"}}}}'), warns=True),
    text("a comma before the end", tag('{"arguments": {"city": "Paris",}, "name": "weather"}'), warns=True),
    text("no name", tag('{"arguments": {"city": "Paris"}}'), warns=True),
    text("a name that is a number", tag('{"name": 7, "arguments": {}}'), warns=True),
    text("arguments that are a list", tag('{"name": "weather", "arguments": [1]}'), warns=True),
    text("arguments that are prose", tag('{"name": "weather", "arguments": "Paris"}'), warns=True),
    text("a tool that was not offered", call("delete", {"path": "/"}), warns=True),
    text("cut off before the name", '<tool_call>\n{"name": "wea', warns=True),
    text("cut off behind the name", '<tool_call>\n{"name": "weather", "argu', warns=True),
    Case(
        "malformed, then a call",
        "<tool_call>x</tool_call>" + call("now", {}),
        content="<tool_call>x</tool_call>",
        calls=[NOTHING],
        warns=True,
    ),
    Case("back quotes, then a call", "Not `<tool_call>`: " + call("now", {}), content="Not `<tool_call>`: ", calls=[NOTHING]),
    Case("code, then a call", f"```\n<tool_call>\n```\n{call('now', {})}", content="```\n<tool_call>\n```\n", calls=[NOTHING]),
    # arguments that break once the call was told
    broken("cut off at the end", '<tool_call>{"name": "weather", "arguments": {"city": "Par', '{"city": "Par'),
    broken("cut off in an escape", '<tool_call>{"name": "weather", "arguments": {"city": "\\u00', '{"city": "\\u00'),
    one("a comma before the end of the arguments", '{"name": "weather", "arguments": {"city": "a",}}', '{"city": "a",}}\n', warns=True),
    one("a word of Python in the arguments", '{"name": "weather", "arguments": {"exact": True}}', '{"exact": True}}\n', warns=True),
    one("a wrong escape in the arguments", '{"name": "weather", "arguments": {"city": "C:\\dir"}}', '{"city": "C:\\dir"}}\n', warns=True),
]
