"""One choice's answer, put together from the worker's events."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlxd.errors import GenerationError
from mlxd.wire.events import Delta, Echo, Finished, RequestEvent
from mlxd.wire.logprobs import TokenLogprobs
from mlxd.wire.parts import Part, joined


@dataclass(frozen=True, kw_only=True)
class Answer:
    """All that was said of a choice: ``told`` as it came, and put together. ``logprobs`` are of all its tokens, where they are wanted; so
    is ``echo``.
    """

    parts: Sequence[Part]
    end: Finished
    told: Sequence[Delta | Finished] = ()
    logprobs: Sequence[TokenLogprobs] = ()
    echo: Echo | None = None


class AnswerBuilder:
    """A collector of one choice's events, until it is finished."""

    def __init__(self) -> None:
        self._told: list[Delta | Finished] = []
        self._echo: Echo | None = None
        self._end: Finished | None = None

    def take(self, event: RequestEvent) -> None:
        """Takes in the choice's next event."""
        if isinstance(event, Echo):
            self._echo = event
        elif isinstance(event, Delta | Finished):
            self._told.append(event)
        if isinstance(event, Finished):
            self._end = event

    def answer(self) -> Answer:
        """Returns the answer, whose neighbouring parts of one kind are one. Raises ``GenerationError`` before it is finished."""
        if self._end is None:
            raise GenerationError("the worker ended the request without an answer")
        parts = joined([part for event in self._told for part in event.parts])
        logprobs = [token for event in self._told for token in event.logprobs]
        return Answer(parts=parts, end=self._end, told=self._told, logprobs=logprobs, echo=self._echo)
