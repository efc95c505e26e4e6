"""One request's tokens on their way out: text, parts, stop strings, and how many tokens a delta carries."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mlxd.wire.parts import Part, Text, ToolCallBegun, content_of, joined, text_parts
from mlxd.worker.text.detokenizer import Detokenizer
from mlxd.worker.text.parsers.parser import Header, Hidden, Marker, OutputParser, Parsed
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.reasoning_tokens import ReasoningTokens
from mlxd.worker.text.stop_strings import Include, StopStrings
from mlxd.worker.text.token_kinds import TokenKinds


@dataclass(frozen=True)
class Piece:
    """The parts to deliver, and for how many tokens they stand."""

    parts: list[Part]
    tokens: int

    @property
    def text(self) -> str:
        """Returns the content of the parts."""
        return content_of(self.parts)


@dataclass(frozen=True)
class Reading:
    """How an answer's tokens are understood."""

    parser: OutputParser = field(default_factory=PlainParser)
    kinds: TokenKinds = field(default_factory=TokenKinds)
    include_stop: Include = Include.BEFORE
    shows_controls: bool = False  # the spelling of control tokens that mean nothing to the parser is content


class TextOutput:
    """The text of one answer, of which the first token is delivered at once, then every ``interval`` tokens; ``interval`` may change at any
    time. No stop string begins in the text of its first ``min_tokens`` tokens.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        prompt: Sequence[int],
        stops: Sequence[str],
        interval: int,
        reading: Reading | None = None,
    ) -> None:
        reading = reading or Reading()
        self.interval = interval
        self.min_tokens = 0
        self.tokens = 0  # generated so far
        self._kinds = reading.kinds
        self._parser = reading.parser
        self._detokenizer = Detokenizer(decode, prompt, self._kinds)
        self._shows_controls = reading.shows_controls
        self._stops = StopStrings(stops, reading.include_stop)
        self._reasoning = ReasoningTokens()
        self._parts: list[Part] = []
        self._calls_tools = False
        self._pending = 0  # tokens not delivered yet

    @property
    def matched_stop(self) -> str | None:
        """Returns the stop string that was found: the request is over then, whatever the engine still computes. None until one is found."""
        return self._stops.matched

    @property
    def calls_tools(self) -> bool:
        """Returns whether the answer calls a tool."""
        return self._calls_tools

    @property
    def reasoning_tokens(self) -> int:
        """Returns how many of the tokens so far were reasoning, as ``ReasoningTokens`` counts them."""
        return self._reasoning.count

    @property
    def warnings(self) -> Sequence[str]:
        """Returns what a client should know of the answer so far."""
        return self._parser.warnings

    def push(self, token: int) -> Piece | None:
        """Takes one generated token, and returns what is to be delivered now, if anything. Is not called after a stop string matched."""
        self._read(token)
        self._count()
        if self.matched_stop is not None or (self.tokens > 1 and self._pending < self.interval):
            return None
        return self._take()

    def push_end_token(self, token: int) -> None:
        """Takes the end-of-sequence token, which counts as generated and has no text. A stop string may end in its spelling."""
        if token in self._kinds.controls:
            self._read(token)
        self._count()

    def finish(self) -> Piece:
        """Returns everything not delivered yet. Nothing is lost, and nothing of a stop string is shown that was not asked for."""
        parsed = self._parser.push(self._detokenizer.flush())
        self._add(parsed)
        if self.matched_stop is None:
            last = self._parser.finish()
            self._add(last)
            parsed += last
        self._reasoning.push_rest(parsed)
        self._parts += text_parts(self._stops.flush())
        return self._take()

    def _read(self, token: int) -> None:
        self._stops.is_armed = self.tokens >= self.min_tokens
        spelling = self._kinds.controls.get(token)
        parsed = self._parser.push(self._detokenizer.push(token) if spelling is None else self._detokenizer.flush())
        if spelling is not None:
            parsed += self._control(spelling)
        self._reasoning.push(parsed)
        self._add(parsed)

    def _control(self, spelling: str) -> list[Parsed]:
        """Passes on a control token, behind which no character goes on."""
        parsed = self._parser.control(spelling)
        if self._shows_controls and parsed[-1:] == [Hidden(spelling)]:
            return [*parsed[:-1], *self._parser.push(spelling)]
        return parsed

    def _add(self, parsed: Iterable[Parsed]) -> None:
        """Adds parts. Stop strings end content only, and no part of another kind overtakes content that was held back."""
        for one in parsed:
            if self.matched_stop is not None:
                return
            if isinstance(one, Text):
                self._parts += text_parts(self._stops.push(one.text))
            elif isinstance(one, Header):
                self._parts += text_parts(self._stops.push_header(one.text))
            elif isinstance(one, Marker):
                self._parts += text_parts(self._stops.push_marker(one.text))
            elif isinstance(one, Hidden):
                self._parts += text_parts(self._stops.push_hidden(one.text))
            else:
                self._parts += [*text_parts(self._stops.flush()), one]
                self._calls_tools = self._calls_tools or isinstance(one, ToolCallBegun)

    def _count(self) -> None:
        self.tokens += 1
        self._pending += 1

    def _take(self) -> Piece:
        piece = Piece(joined(self._parts), self._pending)
        self._parts, self._pending = [], 0
        return piece
