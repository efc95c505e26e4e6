"""What LongCat writes."""

import json

from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text

OPENS, CLOSES = "<longcat_tool_call>", "</longcat_tool_call>"


def call(name, arguments):
    def spelled(value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    inside = "".join(
        f"<longcat_arg_key>{key}</longcat_arg_key>\n<longcat_arg_value>{spelled(value)}</longcat_arg_value>\n"
        for key, value in arguments.items()
    )
    return f"{OPENS}{name}\n{inside}{CLOSES}"


def older(name, arguments):
    return f"{OPENS}{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}{CLOSES}"


CASES = [
    *common.cases(call),
    *common.cases(older),
    Case("inline, without arguments", f"{OPENS}now{CLOSES}", calls=[("now", {})]),
    Case("JSON on lines", f'{OPENS}\n{{"name": "now", "arguments": {{}}}}\n{CLOSES}', calls=[("now", {})]),
    text("a tool that was not offered", call("delete", {}), warns=True),
    text("a tool that was not offered, in JSON", older("delete", {}), warns=True),
    text("prose in a tag", f"{OPENS}well, no{CLOSES}", warns=True),
    text("a marker in a block of code", f"```\n{call('now', {})}\n```"),
    text("half a marker", "x <longcat_tool"),
    text("cut off in the name", f"{OPENS}weat", warns=True),
    Case(
        "cut off in a value",
        f"{OPENS}weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Par",
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
]
