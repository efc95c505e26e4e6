"""What the parsers of tool calls share: content around the calls, and how a call is told."""

from abc import abstractmethod

from typing_extensions import override

from mlxd.wire.output_spec import ToolRules
from mlxd.worker.text.parsers.calls import Calls, openai_id
from mlxd.worker.text.parsers.fences import Fences
from mlxd.worker.text.parsers.parser import Marker
from mlxd.worker.text.parsers.script import ScriptParser, Steps
from mlxd.worker.text.parsers.source import Found

_MOST_WARNINGS = 16  # of one answer: a model that goes in circles says the same for ever


class MalformedCallError(Exception):
    """What the model wrote is no call, or no longer one. It never leaves the parser."""


class ToolsParser(ScriptParser):
    """A parser of an answer whose calls begin with one of ``openings``. Its subclass reads one call, or one section of calls, in ``_call``.

    An opening in code is an example, unless it is a control token. White space that stands alone before, between or behind calls is
    theirs. What is no call is content as it was written, with a warning; where a call was told already, what goes on is its arguments.
    """

    openings: tuple[str, ...] = ()
    closings: tuple[str, ...] = ()  # where a call ends that became malformed; none: with the answer
    interrupts: frozenset[str] = frozenset()  # openings that end reasoning which was not closed
    new_id = staticmethod(openai_id)

    def __init__(self, rules: ToolRules) -> None:
        super().__init__()
        self._calls = Calls(rules, self.new_id)
        self._fences = Fences()
        self._name = ""  # of the call that is being told; empty between calls
        self._is_empty = True  # it has no arguments yet

    @override
    def _script(self) -> Steps[None]:
        while opening := (yield from self._content()):
            try:
                yield from self._call(opening)
                self._end()
                self._drop()
            except MalformedCallError as error:
                yield from self._degrade(str(error))

    @abstractmethod
    def _call(self, opening: str) -> Steps[None]:
        """Reads what follows ``opening``, which is read and held. Raises ``MalformedCallError``: what is held then becomes content."""

    # ---- content ----

    def _content(self) -> Steps[str | None]:
        """Shows content up to the next opening, which it reads and returns; None at the end of the answer."""
        yield from self._space()
        while True:
            if opening := self._opening():
                return opening
            if self._source.is_ended:
                self._end_content()
                return None
            yield

    def _end_content(self) -> None:
        if self._source.text or not self._calls.count:
            self._read_content(len(self._source.text))
        else:
            self._drop()

    def _opening(self) -> str | None:
        """Shows what is content for sure, and returns the opening that follows it, if there is one."""
        while found := self._source.find(self.openings):
            if opening := self._unless_example(found):
                return opening
        if size := self._source.sure(self.openings):
            self._read_content(size)
        return None

    def _unless_example(self, found: Found) -> str | None:
        """Shows what is before an opening, and reads and returns it; one that is an example is shown, too, and None returned."""
        if found.at:
            self._read_content(found.at)
        if self._source.is_control(0) or not self._fences.is_code:
            return self._source.read(len(found.marker))
        self._read_content(len(found.marker))
        return None

    def _read_content(self, size: int) -> None:
        self._source.read(size)
        self._fences.push(self._source.held)
        self._show()

    def _degrade(self, reason: str) -> Steps[None]:
        """Goes on behind a call that is malformed."""
        if not self._name:
            self._warn(f"a tool call of the answer could not be read and is content: {reason}")
            self._read_content(0)
            return
        self._warn(f"the arguments of the call of {self._name!r} are not valid JSON: {reason}")
        marker = yield from self._until(*self.closings)
        self._argue("".join(span.text for span in self._source.release() if not span.is_control))
        self._end()
        self._source.read(len(marker or ""))
        self._drop()

    # ---- calls ----

    def _require_offered(self, name: str) -> None:
        """Raises ``MalformedCallError`` where ``name`` must not be called."""
        if self._calls.tool(name) is None:
            raise MalformedCallError(f"{name!r} is none of the request's tools")
        if self._calls.is_full:
            raise MalformedCallError(f"{name!r} is called after another call, and the request allows one")

    def _begin(self, name: str, *markers: str) -> None:
        """Tells that a call begins, of a tool that must be offered, and drops what is held. ``markers`` are those that led to it."""
        self._end()
        self._require_offered(name)
        self._drop()
        self._emit(*map(Marker, markers), self._calls.begin(name))
        self._name, self._is_empty = name, True

    def _argue(self, text: str) -> None:
        """Tells more of the call's arguments, JSON text, and drops what is held."""
        self._drop()
        if text:
            self._emit(self._calls.arguments(text))
            self._is_empty = False

    def _end(self) -> None:
        """Ends the call that is being told, if there is one. One without arguments has an empty object of them."""
        if not self._name:
            return
        if self._is_empty:
            self._emit(self._calls.arguments("{}"))
        self._drop()
        self._name = ""

    def _warn(self, warning: str) -> None:
        if warning not in self._warnings and len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(warning)
