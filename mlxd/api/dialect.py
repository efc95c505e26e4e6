"""What an API adds to generation: how it reads a request, writes an answer, and says what went wrong.

``generate.py`` serves every dialect; ``app.py`` lists them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from mlxd.api.answer import Answer
from mlxd.api.jobs import Jobs
from mlxd.api.keys import ReadyModel
from mlxd.api.sse import SseEvent
from mlxd.config.values import UnknownFields
from mlxd.errors import MlxdError
from mlxd.listener.errors import ErrorBody
from mlxd.types import Usage
from mlxd.wire.events import RequestEvent


def error_event(body: ErrorBody, error: MlxdError, name: str | None = None) -> SseEvent:
    """Returns an error as an event of a stream, in the shape that it has as an answer."""
    return SseEvent(msgspec.json.encode(body(error)), name=name)


class GenerationRequest(Protocol):
    """A body that its dialect has read, with every field found right."""

    @property
    def streamed(self) -> bool:
        """Tells whether the answer goes out while it is generated."""

    @property
    def inline_media(self) -> int:
        """Returns how many characters of the body are files of pictures and films, and no text for a model."""

    def to_wire(self, identity: str, model: ReadyModel) -> Jobs:
        """Returns the worker's jobs, with the model's defaults where the request is silent. Raises ``InvalidRequestError`` for what
        this model lacks.
        """


class AnswerShape(Protocol):
    """How a dialect writes the answer to one request. It may remember what it wrote, and is asked for a whole answer or for a stream."""

    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        """Returns the only document of what does not stream, from the answers to all jobs, in their order. ``usage`` is of all of them."""

    def on(self, choice: int, event: RequestEvent) -> Iterable[SseEvent]:
        """Returns what a stream says of the worker's ``event`` about the job of this number; of ``Finished``, everything to the end of that
        choice.
        """

    def alive(self) -> Iterable[SseEvent]:
        """Returns what says that the stream lives while there is nothing to say; nothing leaves that to ``Dialect.keep_alive``."""
        return ()

    def end(self, usage: Usage) -> Iterable[SseEvent]:
        """Returns what ends the stream once every choice is over; ``usage`` is of all of them."""

    def failure(self, error: MlxdError) -> Iterable[SseEvent]:
        """Returns what ends the stream where it fails, whatever it said before."""


R = TypeVar("R", bound=GenerationRequest)


@dataclass(frozen=True, kw_only=True)
class Dialect(Generic[R]):
    """One endpoint of one API."""

    path: str  # of its route
    endpoint: str  # its name in logs, metrics and traces
    answer_prefix: str  # of its answers' ids, with what stands between it and the rest
    read: Callable[[Mapping[str, Any], UnknownFields], R]  # raises ``InvalidRequestError`` naming the field that is wrong
    shape: Callable[[str, ReadyModel, R], AnswerShape]  # of an answer with this id
    error: ErrorBody
    early_failure: Callable[[str, R, MlxdError], Iterable[SseEvent]]  # all events of a stream that fails before the answer has a shape
    keep_alive: SseEvent | None = None  # says that a stream lives; None: a comment does
