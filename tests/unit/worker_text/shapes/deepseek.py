"""What DeepSeek's models write: V3 and R1, V3.1, and V3.2."""

import json

from mlxd.worker.text.parsers.deepseek import CALL_CLOSES, CALL_OPENS, SECTION_CLOSES, SECTION_OPENS, SEPARATOR
from tests.unit.worker_text.shapes import common
from tests.unit.worker_text.shapes.case import Case, text

MARK = "\uff5cDSML\uff5c"


def fenced(name, arguments):
    """A call of V3 and R1."""
    return f"{CALL_OPENS}function{SEPARATOR}{name}\n```json\n{json.dumps(arguments, ensure_ascii=False)}\n```{CALL_CLOSES}"


def plain(name, arguments):
    """A call of V3.1."""
    return f"{CALL_OPENS}{name}{SEPARATOR}{json.dumps(arguments)}{CALL_CLOSES}"


def marked(name, arguments):
    """A call of V3.2."""

    def parameter(key, value):
        kind, spelled = ("true", value) if isinstance(value, str) else ("false", json.dumps(value, ensure_ascii=False))
        return f'<{MARK}parameter name="{key}" string="{kind}">{spelled}</{MARK}parameter>\n'

    return f'<{MARK}invoke name="{name}">\n' + "".join(parameter(*one) for one in arguments.items()) + f"</{MARK}invoke>\n"


def section(*calls):
    return SECTION_OPENS + "\n".join(calls) + SECTION_CLOSES


def marked_section(*calls, tag="function_calls"):
    return f"<{MARK}{tag}>\n" + "".join(calls) + f"</{MARK}{tag}>"


def named(prefix, cases):
    return [Case(f"{prefix}: {case.name}", case.written, case.content, case.calls, case.reasoning, case.warns) for case in cases]


CASES = [
    *named("V3", common.cases(fenced, section)),
    *named("V3.1", common.cases(plain, section)),
    *named("V3.2", common.cases(marked, marked_section)),
    Case("V4's tag", marked_section(marked("now", {}), tag="tool_calls"), calls=[("now", {})]),
    Case("a call without its section", plain("now", {}), calls=[("now", {})]),
    Case("a section without its end", section(plain("now", {})).removesuffix(SECTION_CLOSES), calls=[("now", {})]),
    Case("a call without its end", f"{SECTION_OPENS}{CALL_OPENS}now{SEPARATOR}{{}}", calls=[("now", {})]),
    Case(
        "a block without its language",
        section(f"{CALL_OPENS}function{SEPARATOR}weather\n```\n{{}}\n```{CALL_CLOSES}"),
        calls=[("weather", {})],
    ),
    Case(
        "no block at all",
        section(f'{CALL_OPENS}function{SEPARATOR}weather\n{{"days": 1}}{CALL_CLOSES}'),
        calls=[("weather", {"days": 1})],
    ),
    Case(
        "a string that the model did not mark as one",
        marked_section(f'<{MARK}invoke name="weather"><{MARK}parameter name="city">5</{MARK}parameter></{MARK}invoke>'),
        calls=[("weather", {"city": "5"})],
    ),
    Case(
        "what is not JSON and not a string",
        marked_section(f'<{MARK}invoke name="weather"><{MARK}parameter name="days" string="false">soon</{MARK}parameter></{MARK}invoke>'),
        calls=[("weather", {"days": "soon"})],
        warns=True,
    ),
    Case(
        "new lines in a string of JSON",
        section(f'{CALL_OPENS}weather{SEPARATOR}{{"city": "a\nb"}}{CALL_CLOSES}'),
        calls=[("weather", {"city": "a\nb"})],
    ),
    Case(
        "malformed JSON, and a call behind it",
        section(f'{CALL_OPENS}weather{SEPARATOR}{{"city": a}}{CALL_CLOSES}', plain("now", {})),
        calls=[("weather", '{"city": a}'), ("now", {})],
        content=SECTION_CLOSES.removeprefix(SECTION_CLOSES),
        warns=True,
    ),
    text("a tool that was not offered", section(plain("then", {})), warns=True),
    text("arguments that are a list", section(f"{CALL_OPENS}now{SEPARATOR}[]{CALL_CLOSES}"), warns=True),
    text("a name without a separator", section(f"{CALL_OPENS}now{CALL_CLOSES}"), warns=True),
    text("a section without a call", section("nothing"), warns=True),
    text("a beginning that is cut off", f"{SECTION_OPENS}{CALL_OPENS}func", warns=True),
    text("arguments that are cut off at once", f"{SECTION_OPENS}{CALL_OPENS}weather{SEPARATOR}{{", warns=True),
    text("half a marker", "x <\uff5ctool\u2581ca"),
    Case(
        "arguments that are cut off",
        f'{SECTION_OPENS}{CALL_OPENS}weather{SEPARATOR}{{"city": "Par',
        calls=[("weather", '{"city": "Par')],
        warns=True,
    ),
]
