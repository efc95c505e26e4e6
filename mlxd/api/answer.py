"""One choice's answer, put together from the worker's events."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlxd.errors import GenerationError
from mlxd.wire.logprobs import TokenLogprobs
from mlxd.wire.messages import Delta, Echo, Finished, RequestEvent
from mlxd.wire.parts import Part, joined


@dataclass(frozen=True, kw_only=True)
class Answer:
    """All that was said of a choice. ``logprobs`` are of all its tokens, where they are wanted; so is ``echo``."""

    parts: Sequence[Part]
    end: Finished
    logprobs: Sequence[TokenLogprobs] = ()
    echo: Echo | None = None


class AnswerBuilder:
    """A collector of one choice's events, until it is finished."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._logprobs: list[TokenLogprobs] = []
        self._echo: Echo | None = None
        self._end: Finished | None = None

    def take(self, event: RequestEvent) -> None:
        """Takes in the choice's next event."""
        if isinstance(event, Echo):
            self._echo = event
        elif isinstance(event, Delta | Finished):
            self._parts += event.parts
            self._logprobs += event.logprobs
        if isinstance(event, Finished):
            self._end = event

    def answer(self) -> Answer:
        """Returns the answer, whose neighbouring parts of one kind are one. Raises ``GenerationError`` before it is finished."""
        if self._end is None:
            raise GenerationError("the worker ended the request without an answer")
        return Answer(parts=joined(self._parts), end=self._end, logprobs=self._logprobs, echo=self._echo)
