"""The parser of DeepSeek's calls.

V3 and R1 write ``function<sep>NAME``, a new line and the arguments in a code block; V3.1 writes ``NAME<sep>`` and the arguments. Control
tokens stand around both, and around all calls of an answer. V3.2 and later write DSML.
"""

from typing_extensions import override

from mlxd.worker.text.parsers.dsml import DsmlParser
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

SECTION_OPENS = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
SECTION_CLOSES = "<\uff5ctool\u2581calls\u2581end\uff5c>"
CALL_OPENS = "<\uff5ctool\u2581call\u2581begin\uff5c>"
CALL_CLOSES = "<\uff5ctool\u2581call\u2581end\uff5c>"
SEPARATOR = "<\uff5ctool\u2581sep\uff5c>"

_FENCE = "```"


class DeepseekParser(DsmlParser):
    """A parser of sections of calls, in any of DeepSeek's forms. A call without its section is one, too."""

    openings = (SECTION_OPENS, CALL_OPENS, *DsmlParser.openings)
    closings = (CALL_CLOSES, SECTION_CLOSES, *DsmlParser.closings)
    markers = frozenset({*openings, *closings, SEPARATOR, *DsmlParser.markers})
    interrupts = frozenset(openings)

    @override
    def _call(self, opening: str) -> Steps[None]:
        if opening in DsmlParser.openings:
            yield from self._dsml(opening)
            return
        yield from self._marked_calls(self._one, opening, CALL_OPENS, SECTION_CLOSES)

    def _one(self, *markers: str) -> Steps[None]:
        """Reads one call, the beginning of which is read, and its end, which may lack."""
        kind = yield from self._while(lambda one: one not in "<\n")
        if not (yield from self._next_is(SEPARATOR)):
            raise MalformedCallError("no name and separator follow")
        yield from self._space()
        if (yield from self._more()) and self._source.text[0] == "{":
            yield from self._arguments_object(kind.strip(), *markers)
        elif kind.strip() in {"function", ""}:
            yield from self._fenced(*markers)
        else:
            raise MalformedCallError("its arguments are no JSON object")
        yield from self._next_behind_space(CALL_CLOSES)

    def _fenced(self, *markers: str) -> Steps[None]:
        """Reads a name, and arguments in a code block."""
        name = yield from self._while(lambda one: one not in "\n`<{")
        yield from self._space()
        if (yield from self._next_is(_FENCE)):
            yield from self._next_is("json")
        yield from self._arguments_object(name.strip(), *markers)
        yield from self._next_behind_space(_FENCE)
