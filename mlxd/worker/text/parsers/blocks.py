"""The parser of reasoning between two markers."""

from typing_extensions import override

from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.parser import Parsed, ReasoningMarker
from mlxd.worker.text.parsers.script import ScriptParser, Steps
from mlxd.worker.text.shape_rules import Markers


class BlockParser(ScriptParser):
    """A parser that tells reasoning from the rest, which is content to it.

    Reasoning stands at the beginning of an answer; anywhere else the markers are text, unless they are control tokens. New lines on either
    side of a marker, and white space before the first, are the marker's. A block that is never closed is reasoning to its end, or to the
    first of ``interrupts``, with which a call begins.
    """

    def __init__(self, block: Markers, opening: Opening = Opening.NONE, interrupts: frozenset[str] = frozenset()) -> None:
        self._block = block
        self._opening = opening
        self._ends = (block.closes, *interrupts)
        self._interrupts = interrupts
        self._is_interrupted = False  # by a control token
        self.markers = frozenset({block.opens, block.closes})
        super().__init__()

    @override
    def control(self, token: str) -> list[Parsed]:
        self._is_interrupted = token in self._interrupts
        parsed = super().control(token)
        self._is_interrupted = False
        return parsed

    @override
    def _script(self) -> Steps[None]:
        yield from self._space()
        marker = yield from self._next_is(*self.markers)
        if self._opening is Opening.REASONING and marker is None:
            yield from self._reasoning()
        else:
            yield from self._section(marker)
        while marker := (yield from self._content()):
            yield from self._section(marker)

    def _section(self, marker: str | None) -> Steps[None]:
        """Reads what ``marker``, which was read, opens."""
        if marker is not None:
            yield from self._mark(marker)
        if marker == self._block.opens:
            yield from self._reasoning()

    def _mark(self, marker: str) -> Steps[None]:
        """Drops a marker that was read, with the new lines behind it."""
        self._drop()
        self._emit(ReasoningMarker(marker))
        yield from self._while(lambda one: one in "\r\n")
        self._drop()

    def _reasoning(self) -> Steps[None]:
        """Shows reasoning up to its end, and reads its closing marker."""
        while not (found := self._source.find(self._ends)):
            self._think(self._source.sure(self._ends))
            if self._is_interrupted or self._source.is_ended:
                self._source.read(len(self._source.text))
                self._show_reasoning()
                return
            yield
        self._source.read(found.at - self._think(found.at))
        self._drop()
        if (yield from self._next_is(self._block.closes)):
            yield from self._mark(self._block.closes)

    def _think(self, size: int) -> int:
        """Shows so many characters, but not the new lines behind them, which may be a marker's; returns how many it showed."""
        shown = self._source.read(len(self._source.text[:size].rstrip("\r\n")))
        self._show_reasoning()
        return len(shown)

    def _content(self) -> Steps[str | None]:
        """Shows content up to the next marker that is a control token, which it reads and returns; None at the end of the answer."""
        while (at := self._source.next_control()) is None:
            self._source.read(len(self._source.text))
            self._show()
            if self._source.is_ended:
                return None
            yield
        self._source.read(at)
        self._show()
        return (yield from self._next_is(*self.markers))
