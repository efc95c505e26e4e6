"""The parser of reasoning between two markers."""

from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

from mlxd.wire.parts import Text, ToolCallBegun
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.parser import OutputParser, Parsed, ReasoningMarker
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.parsers.script import ScriptParser, Steps
from mlxd.worker.text.shape_rules import Markers

_MOST_NEW_LINES = 16  # that belong to the marker behind them


@dataclass(frozen=True)
class CallsInside:
    """How calls in reasoning that was not closed are known. Each begins with one of ``openings``, of which the ``plain`` ones mean nothing
    else, and ``new_parser`` makes what reads them.
    """

    openings: tuple[str, ...]
    plain: frozenset[str]
    new_parser: Callable[[], OutputParser]


class BlockParser(ScriptParser):
    """A parser that tells reasoning from the rest, which is content to it.

    Reasoning stands at the beginning of an answer; anywhere else the markers are text, unless they are control tokens. New lines on either
    side of a marker, and white space before the first, are the marker's.

    A block that is never closed is reasoning to its end, or to the calls of the answer. A control token or another text that means nothing
    else begins them. After any other opening they are held until it is known what they were: the answer's if it ends with them, and a
    thought if anything follows.
    """

    def __init__(self, block: Markers, opening: Opening = Opening.NONE, calls: CallsInside | None = None) -> None:
        self._block = block
        self._opening = opening
        self._calls = calls or CallsInside((), frozenset(), PlainParser)
        self._ends = (block.closes, *self._calls.plain, *self._calls.openings)
        self._is_interrupted = False  # by a control token
        self.markers = frozenset({block.opens, block.closes})
        super().__init__()

    @override
    def control(self, token: str) -> list[Parsed]:
        self._is_interrupted = token in self._calls.openings
        parsed = super().control(token)
        self._is_interrupted = False
        return parsed

    @override
    def _script(self) -> Steps[None]:
        if self._opening is Opening.REASONING:
            yield from self._new_lines()
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
        yield from self._new_lines()

    def _new_lines(self) -> Steps[None]:
        """Drops new lines that are a marker's."""
        yield from self._while(lambda one: one in "\r\n")
        self._drop()

    def _reasoning(self) -> Steps[None]:
        """Shows reasoning up to its end, and reads its closing marker."""
        while found := (yield from self._thoughts()):
            if found == self._block.closes:
                yield from self._next_is(found)
                yield from self._mark(found)
                return
            if found in self._calls.plain or (yield from self._are_calls()):
                self._drop()
                return
            self._source.read(len(found))
            self._show_reasoning()

    def _thoughts(self) -> Steps[str | None]:
        """Shows reasoning up to what may end it, and returns that, unread, with the new lines before it held; None where it goes on to its
        end.
        """
        while not (found := self._source.find(self._ends)):
            self._think(self._source.sure(self._ends))
            if self._is_interrupted or self._source.is_ended:
                self._source.read(len(self._source.text))
                self._show_reasoning()
                return None
            yield
        self._source.read(found.at - self._think(found.at))
        return found.marker

    def _are_calls(self) -> Steps[bool]:
        """Returns whether what comes next are the calls of an answer that ends with them. If they are and a closing marker stands behind
        them, drops that.
        """
        parser, passed, calls = self._calls.new_parser(), 0, 0
        while True:
            closing = self._source.text.find(self._block.closes)
            end = self._source.sure((self._block.closes,)) if closing < 0 else closing
            told = parser.push(self._source.text[passed:end])
            passed, calls = end, calls + _calls_in(told)
            if _has_content(told):
                return False
            if closing >= 0 or self._source.is_ended or self._is_interrupted:
                break
            yield
        told = parser.finish()
        if _has_content(told) or not calls + _calls_in(told):
            return False
        return closing < 0 or (yield from self._end_at(closing))

    def _end_at(self, closing: int) -> Steps[bool]:
        """Returns whether the answer ends with the marker there, which it then takes away."""
        behind = closing + len(self._block.closes)
        while not self._source.text[behind:].strip():
            if self._source.is_ended:
                self._source.truncate(closing)
                return True
            yield
        return False

    def _think(self, size: int) -> int:
        """Shows so many characters, but not the new lines behind them, which may be a marker's; returns how many it showed."""
        held = size - len(self._source.text[max(0, size - _MOST_NEW_LINES) : size].rstrip("\r\n")) - max(0, size - _MOST_NEW_LINES)
        self._source.read(size - held)
        self._show_reasoning()
        return size - held

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


def _has_content(told: list[Parsed]) -> bool:
    return any(isinstance(one, Text) and one.text.strip() for one in told)


def _calls_in(told: list[Parsed]) -> int:
    return sum(isinstance(one, ToolCallBegun) for one in told)
