"""What gpt-oss writes behind ``<|start|>assistant``."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case

CONTROLS = frozenset({"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|return|>", "<|call|>"})
PROMPT = ["<|start|>", "assistant"]  # with which a prompt ends
FINAL = "<|channel|>final<|message|>"


def call(name, arguments):
    body = json.dumps(arguments, ensure_ascii=False)
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{body}<|call|>"


def join(*calls):
    return "<|start|>assistant".join(calls)


def to(header, body="{}", end="<|call|>"):
    return f"{header}<|message|>{body}{end}"


def shown(cases):
    """Cases of text around calls, as messages of their own."""
    for case in cases:
        if case.name == "text before":
            yield Case(
                case.name, "<|channel|>commentary<|message|>I look.\n<|end|><|start|>assistant" + call("now", {}), "I look.\n", case.calls
            )
        elif case.name == "text behind":
            yield Case(case.name, call("now", {}) + "<|start|>assistant" + FINAL + "\n\nDone.", "\n\nDone.", case.calls)
        elif case.name != "markers":
            yield case


NOW = [("now", {})]
CASES = [
    *shown(common.cases(call, join)),
    Case(
        "reasoning, and a call", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant" + call("now", {}), calls=NOW, reasoning="Hm."
    ),
    Case(
        "reasoning, a preamble, a call",
        join("<|channel|>analysis<|message|>Hm.<|end|>", "<|channel|>commentary<|message|>I look.<|end|>", call("now", {})),
        "I look.",
        NOW,
        "Hm.",
    ),
    Case("a recipient in the role", to(" to=functions.now<|channel|>commentary json"), calls=NOW),
    Case("a recipient in the role, and a type", to(" to=functions.now<|channel|>commentary<|constrain|>json"), calls=NOW),
    Case("a call in the channel of reasoning", to("<|channel|>analysis to=functions.now code"), calls=NOW),
    Case("a body without text", to("<|channel|>commentary to=functions.now", ""), calls=NOW),
    Case(
        "white space around a body", to("<|channel|>commentary to=functions.weather", '\n {"days": 1}\n'), calls=[("weather", {"days": 1})]
    ),
    Case(
        "a new line in a string",
        to("<|channel|>commentary to=functions.weather", '{"city": "a\nb"}'),
        calls=[("weather", {"city": "a\nb"})],
    ),
    Case("another end", to("<|channel|>commentary to=functions.now", "{}", "<|end|>"), calls=NOW),
    Case("no end", to("<|channel|>commentary to=functions.now", "{}", ""), calls=NOW),
    Case("without the namespace", to("<|channel|>commentary to=now"), calls=NOW),
    Case("the channel in the name", to("<|channel|>commentary to=functions.nowcommentary"), calls=NOW),
    Case("the type in the name", to("<|channel|>commentary to=functions.nowjson"), calls=NOW),
    Case("text behind the name", to("<|channel|>commentary to=functions.now?? hm"), calls=NOW),
    Case("a missing start", "<|channel|>analysis<|message|>Hm.<|end|>" + call("now", {}), calls=NOW, reasoning="Hm."),
    Case("a doubled channel", "<|channel|>commentary" + call("now", {}), calls=NOW),
    Case("text behind the arguments", to("<|channel|>commentary to=functions.now", "{} and"), " and", NOW),
    Case("an answer behind a call", call("now", {}) + "<|start|>assistant" + FINAL + "Done.<|return|>", "Done.", NOW),
    Case("a tool that was not offered", to("<|channel|>commentary to=browser.open", '{"id": 1}'), '{"id": 1}', warns=True),
    Case("code", to("<|channel|>analysis to=python code", "print(1)"), "print(1)", warns=True),
    Case("arguments that are no JSON", to("<|channel|>commentary to=functions.now", "none"), "none", warns=True),
    Case("arguments that are a list", to("<|channel|>commentary to=functions.now", "[1]"), "[1]", warns=True),
    Case("a type as the recipient", to("<|channel|>commentary to=<|constrain|>json", "{}"), "{}"),
    Case("a message to its own role", to("<|channel|>commentary to=assistant", "Hm."), "Hm."),
    Case(
        "malformed arguments, and an answer",
        to("<|channel|>commentary to=functions.now", '{"a": b}') + FINAL + "x",
        "x",
        [("now", '{"a": b}')],
        warns=True,
    ),
    Case(
        "arguments that are cut off", '<|channel|>commentary to=functions.now<|message|>{"a": "b', calls=[("now", '{"a": "b')], warns=True
    ),
    Case("arguments that are cut off at once", "<|channel|>commentary to=functions.now<|message|>{", "{", warns=True),
    Case("a body that is cut off", "<|channel|>commentary to=functions.now<|message|>", warns=True),
    Case("a header that is cut off", "<|channel|>commentary to=functions.no"),
]
