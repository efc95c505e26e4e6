"""What Cohere's Command A and R7B write."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text

OPENS, CLOSES = "<|START_ACTION|>", "<|END_ACTION|>"
NOW = '{"tool_call_id": "0", "tool_name": "now", "parameters": {}}'


def call(name, arguments):
    return json.dumps({"tool_call_id": "0", "tool_name": name, "parameters": arguments}, ensure_ascii=False)


def section(*calls):
    return OPENS + "[\n    " + ",\n    ".join(calls) + "\n]" + CLOSES


CASES = [
    *common.cases(call, section),
    Case("a response", "<|START_RESPONSE|>Hi <co>there</co: 0:[1]>!<|END_RESPONSE|>", content="Hi <co>there</co: 0:[1]>!"),
    Case("a text", "<|START_TEXT|>Hi\n there<|END_TEXT|>", content="Hi\n there"),
    Case("a response and a call", "<|START_RESPONSE|>Hm.<|END_RESPONSE|>" + section(NOW), content="Hm.", calls=[("now", {})]),
    Case("new lines around a list", OPENS + "\n[\n" + NOW + "\n]\n" + CLOSES, calls=[("now", {})]),
    Case("an object without a list", OPENS + NOW + CLOSES, calls=[("now", {})]),
    Case("without an id", section('{"tool_name": "now", "parameters": {}}'), calls=[("now", {})]),
    Case(
        "the name behind the parameters",
        section('{"parameters": {"city": "a"}, "tool_name": "weather"}'),
        calls=[("weather", {"city": "a"})],
    ),
    Case("without parameters", section('{"tool_name": "now"}'), calls=[("now", {})]),
    Case("an answer that ends behind its list", section(NOW).removesuffix(CLOSES), calls=[("now", {})]),
    Case("an answer that ends behind a call", section(NOW).removesuffix("\n]" + CLOSES), calls=[("now", {})]),
    text("a tool that was not offered", section(call("then", {})), warns=True),
    text("no JSON", OPENS + "now()" + CLOSES, warns=True),
    text("a name that is cut off", OPENS + '[{"tool_call_id": "0", "tool_name": "no', warns=True),
    text("half a marker", "x <|START_ACT"),
    Case(
        "parameters that are cut off",
        OPENS + '[{"tool_name": "weather", "parameters": {"city": "Par',
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
]
