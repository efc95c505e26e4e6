"""What Kimi K2 writes."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text

OPENS, CLOSES = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
BEGIN, ARGUMENTS, END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"


def call(name, arguments, index=0):
    return f"{BEGIN}functions.{name}:{index}{ARGUMENTS}{json.dumps(arguments, ensure_ascii=False)}{END}"


def section(*calls):
    return OPENS + "".join(calls) + CLOSES


def spelled(call_id, arguments="{}"):
    return section(f"{BEGIN}{call_id}{ARGUMENTS}{arguments}{END}")


CASES = [
    *common.cases(call, section),
    Case("without a prefix", spelled("now:0"), calls=[("now", {})]),
    Case("without an index", spelled("functions.now"), calls=[("now", {})]),
    Case("white space around", spelled(" functions.now:3 ", ' {"a": 1} '), calls=[("now", {"a": 1})]),
    Case("the other name of a section", section(call("now", {})).replace("calls_section", "call_section"), calls=[("now", {})]),
    Case("a call without its section", call("now", {}), calls=[("now", {})]),
    Case("a section without its end", OPENS + call("now", {}), calls=[("now", {})]),
    Case("several lines of JSON", spelled("functions.now:0", '{\n  "a": 1\n}'), calls=[("now", {"a": 1})]),
    Case(
        "malformed JSON, and a call behind it",
        section(f"{BEGIN}functions.weather:0{ARGUMENTS}{{'city': 1}}{END}", call("now", {}, 1)),
        content="".join([section(f"{BEGIN}functions.weather:0{ARGUMENTS}{{'city': 1}}{END}").removesuffix(CLOSES)]),
        calls=[("now", {})],
        warns=True,
    ),
    text("a tool that was not offered", spelled("functions.then:0"), warns=True),
    text("a number, of several tools", spelled("0"), warns=True),
    text("no arguments", section(f"{BEGIN}functions.now:0{END}"), warns=True),
    text("a section without a call", section("nothing"), warns=True),
    text("an id that is cut off", f"{OPENS}{BEGIN}functions.no", warns=True),
    text("half a marker", "x <|tool_calls_sec"),
    Case(
        "arguments that are cut off",
        f'{OPENS}{BEGIN}functions.weather:0{ARGUMENTS}{{"city": "Par',
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
]
