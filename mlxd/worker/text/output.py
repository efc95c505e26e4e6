"""One request's tokens on their way out: text, parts, stop strings, and how many tokens a delta carries."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlxd.wire.parts import Part, Text, joined, text_parts
from mlxd.worker.text.detokenizer import Detokenizer
from mlxd.worker.text.parsers.parser import OutputParser
from mlxd.worker.text.stop_strings import StopStrings


@dataclass(frozen=True)
class Piece:
    """Parts to deliver, and for how many tokens they stand."""

    parts: list[Part]
    tokens: int


class TextOutput:
    """The first token is delivered at once, then every ``interval`` tokens; ``interval`` may change at any time."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        prompt: Sequence[int],
        parser: OutputParser,
        stops: Sequence[str],
        interval: int,
    ) -> None:
        self.interval = interval
        self.tokens = 0  # generated so far
        self._detokenizer = Detokenizer(decode, prompt)
        self._parser = parser
        self._stops = StopStrings(stops)
        self._parts: list[Part] = []
        self._pending = 0  # tokens not delivered yet

    @property
    def matched_stop(self) -> str | None:
        """The stop string that was found: the request is over, whatever the engine still computes."""
        return self._stops.matched

    def push(self, token: int) -> Piece | None:
        """One generated token; what is to be delivered now, if anything. Not called after a stop string matched."""
        self._add(self._parser.push(self._detokenizer.push(token)))
        self._count()
        if self.matched_stop is not None or (self.tokens > 1 and self._pending < self.interval):
            return None
        return self._take()

    def push_end_token(self) -> None:
        """The end-of-sequence token: it counts as generated, and has no text."""
        self._count()

    def finish(self) -> Piece:
        """Everything not delivered yet. Nothing is lost, and nothing of a stop string is shown."""
        if self.matched_stop is None:
            self._add(self._parser.push(self._detokenizer.flush()))
            self._add(self._parser.finish())
        if self.matched_stop is None:
            self._parts += text_parts(self._stops.flush())
        return self._take()

    def _add(self, parts: Iterable[Part]) -> None:
        """Stop strings end content only, and no part of another kind overtakes content that was held back."""
        for part in parts:
            if self.matched_stop is not None:
                return
            if isinstance(part, Text):
                self._parts += text_parts(self._stops.push(part.text))
            else:
                self._parts += [*text_parts(self._stops.flush()), part]

    def _count(self) -> None:
        self.tokens += 1
        self._pending += 1

    def _take(self) -> Piece:
        piece = Piece(joined(self._parts), self._pending)
        self._parts, self._pending = [], 0
        return piece
