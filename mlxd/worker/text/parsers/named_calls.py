"""What the parsers of calls share that write a name, and then the arguments as a JSON object."""

from collections.abc import Callable

from mlxd.worker.text.parsers.json_scanner import JsonScanner
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError, ToolsParser


class NamedCallsParser(ToolsParser):
    """A parser of names with JSON objects. A call is told once its arguments begin to be an object, and then streams."""

    def _marked_calls(self, one: Callable[..., Steps[None]], opening: str, call_opens: str, *section_closes: str) -> Steps[None]:
        """Reads calls of which each has a marker, behind ``opening``, which is that marker or the section's, to the section's end.
        ``one`` reads a call behind its marker, and takes the markers that led to it.
        """
        if opening != call_opens:
            yield from self._space()
            if not (yield from self._next_is(call_opens)):
                raise MalformedCallError("no call follows")
        yield from one(opening)
        while (yield from self._next_behind_space(call_opens)):
            yield from one()
        yield from self._next_behind_space(*section_closes)

    def _arguments_object(self, name: str, *markers: str) -> Steps[None]:
        """Reads the arguments of the call of ``name``, to which ``markers`` led, and tells the call."""
        self._require_offered(name)
        yield from self._space()
        if not (yield from self._more()) or self._source.text[0] != "{":
            raise MalformedCallError("its arguments are no JSON object" if self._source.text else "it is cut off")
        scanner, begun = JsonScanner(), ""
        while not begun[1:].strip() and not scanner.is_broken:
            begun += yield from self._scan(scanner)
        if begun[1:].strip():
            self._begin(name, *markers)
            self._argue(begun)
        while not scanner.is_done:
            if scanner.is_broken:
                raise MalformedCallError("its JSON is malformed")
            self._argue((yield from self._scan(scanner)))
        self._end()

    def _scan(self, scanner: JsonScanner) -> Steps[str]:
        """Reads more JSON, and returns it as it is to be told."""
        if not (yield from self._more()):
            raise MalformedCallError("it is cut off")
        size, text = scanner.push(self._source.text)
        self._source.read(size)
        return text
