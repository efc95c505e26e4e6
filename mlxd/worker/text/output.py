"""One request's tokens on their way out: text, stop strings, and how many tokens a delta carries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlxd.worker.text.detokenizer import Detokenizer
from mlxd.worker.text.stop_strings import StopStrings


@dataclass(frozen=True)
class Piece:
    """Text to deliver, and for how many tokens it stands."""

    text: str
    tokens: int


class TextOutput:
    """The first token is delivered at once, then every ``interval`` tokens; ``interval`` may change at any time."""

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int], stops: Sequence[str], interval: int) -> None:
        self.interval = interval
        self.tokens = 0  # generated so far
        self._detokenizer = Detokenizer(decode, prompt)
        self._stops = StopStrings(stops)
        self._text: list[str] = []
        self._pending = 0  # tokens not delivered yet

    @property
    def stopped(self) -> bool:
        """A stop string was found: the request is over, whatever the engine still computes."""
        return self._stops.matched is not None

    def push(self, token: int) -> Piece | None:
        """One generated token; what is to be delivered now, if anything. Not called after ``stopped``."""
        self._text.append(self._stops.push(self._detokenizer.push(token)))
        self._count()
        if self.stopped or (self.tokens > 1 and self._pending < self.interval):
            return None
        return self._take()

    def push_end_token(self) -> None:
        """The end-of-sequence token: it counts as generated, and has no text."""
        self._count()

    def finish(self) -> Piece:
        """Everything not delivered yet. Nothing is lost, and nothing of a stop string is shown."""
        if not self.stopped:
            self._text.append(self._stops.push(self._detokenizer.flush()))
        if not self.stopped:
            self._text.append(self._stops.flush())
        return self._take()

    def _count(self) -> None:
        self.tokens += 1
        self._pending += 1

    def _take(self) -> Piece:
        piece = Piece("".join(self._text), self._pending)
        self._text, self._pending = [], 0
        return piece
