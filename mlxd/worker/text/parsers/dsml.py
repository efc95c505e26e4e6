"""The parser of the calls of DeepSeek V3.2 and later, which their authors call DSML.

As XML, with a mark in every tag: a section of ``invoke name="NAME"`` with ``parameter name="KEY" string="true"``. The model says which
values are strings; the others are JSON.
"""

import re

from typing_extensions import override

from mlxd.worker.text.parsers.schema_kinds import ANY, STRING, Kinds
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tagged import NAME, TaggedParser

MARK = "\uff5cDSML\uff5c"

_SECTIONS = ("function_calls", "tool_calls")  # of V3.2 and of V4


class DsmlParser(TaggedParser):
    """A parser of sections of invocations in marked tags."""

    openings = tuple(f"<{MARK}{name}>" for name in _SECTIONS)
    closings = tuple(f"</{MARK}{name}>" for name in _SECTIONS)
    markers = frozenset({MARK, *openings, *closings})

    section_closes = closings[0]
    function_opens = f"<{MARK}invoke name="
    function_closes = f"</{MARK}invoke>"
    parameter_opens = f"<{MARK}parameter name="
    parameter_tail = re.compile(rf"{NAME}(?:string=[\"']?(?P<string>true|false)[\"']?\s*)?>")
    value_closes = f"</{MARK}parameter>"

    @override
    def _call(self, opening: str) -> Steps[None]:
        yield from self._dsml(opening)

    def _dsml(self, opening: str) -> Steps[None]:
        self.section_closes = DsmlParser.closings[DsmlParser.openings.index(opening)]
        yield from self._section(opening)

    @override
    def _kinds(self, head: re.Match[str]) -> Kinds:
        match head["string"]:
            case "true":
                return STRING
            case "false":
                return ANY - STRING
            case _:
                return super()._kinds(head)
