"""The parser of Mistral's calls.

Until 2024 ``[TOOL_CALLS][{"name": "f", "arguments": {…}, "id": "abc123XYZ"}]``, since then ``[TOOL_CALLS]f[ARGS]{…}``, once for each call;
some models write ``[CALL_ID]`` and an id between, or leave ``[ARGS]`` out, or ``[TOOL_CALLS]``.
"""

import re

from typing_extensions import override

from mlxd.worker.text.parsers.bare_calls import BareCallsParser
from mlxd.worker.text.parsers.calls import short_id
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

_ARGUMENTS, _ID = "[ARGS]", "[CALL_ID]"
_NEXT = re.compile(r"\s*[\w.-]+\[ARGS\]")  # a further call without its marker
_MAY_BE_NEXT = re.compile(r"\s*[\w.-]*(\[|\[A|\[AR|\[ARG|\[ARGS)?")


class MistralParser(BareCallsParser):
    """A parser of both forms. Ids have the nine letters and digits that Mistral's templates ask for."""

    openings = ("[TOOL_CALLS]",)
    markers = frozenset({*openings, _ARGUMENTS, _ID})
    interrupts = frozenset(openings)
    new_id = staticmethod(short_id)

    @override
    def _call(self, opening: str) -> Steps[None]:
        yield from self._space()
        if (yield from self._more()) and self._source.text[0] in "[{":
            yield from self._calls_json(opening)
            return
        yield from self._header(opening)
        while (yield from self._is_next_header()):
            yield from self._space()
            yield from self._header()

    def _header(self, *markers: str) -> Steps[None]:
        """Reads a name, and the arguments behind it."""
        name = yield from self._while(lambda one: one not in "[{\n")
        yield from self._space()
        if (yield from self._next_is(_ID)):
            self._calls.propose_id((yield from self._while(lambda one: one.isalnum())))
        if not (yield from self._next_is(_ARGUMENTS)) and self._source.text[:1] != "{":
            raise MalformedCallError("no arguments follow its name")
        yield from self._arguments_object(name.strip(), *markers)

    def _is_next_header(self) -> Steps[bool]:
        while not self._source.is_ended and _MAY_BE_NEXT.fullmatch(self._source.text):
            yield
        return _NEXT.match(self._source.text) is not None
