"""The parser of the calls of GLM 4.5 and later.

``<tool_call>NAME``, then ``<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>`` for each argument, then ``</tool_call>``, with or without
new lines between.
"""

import re

from typing_extensions import override

from mlxd.worker.text.parsers.schema_kinds import ANY
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tagged import TaggedParser
from mlxd.worker.text.parsers.tools import MalformedCallError


class GlmParser(TaggedParser):
    """A parser of names with keys and values in tags."""

    openings = ("<tool_call>",)
    closings = ("</tool_call>",)
    markers = frozenset({"<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"})

    section_closes = "</tool_call>"
    function_opens = "<tool_call>"
    function_closes = "</tool_call>"
    parameter_opens = "<arg_key>"
    parameter_tail = re.compile(r"\s*(?P<name>[^<>]+?)\s*</arg_key>(?:\\n|\s)*<arg_value>")
    parameter_tail_ends = "<arg_value>"
    value_closes = "</arg_value>"
    unknown = untyped = ANY

    @override
    def _call(self, opening: str) -> Steps[None]:
        if (yield from self._cursor.skip_space()) in ["{", "["]:
            yield from self._json_section(opening)
            return
        name = yield from self._while(lambda one: not one.isspace() and one != "<")
        if not name:
            raise MalformedCallError("it has no name")
        yield from self._parameters(name, opening)
