"""What an API adds to generation: how it reads a request, writes an answer, and says what went wrong.

``generate.py`` serves every dialect; ``app.py`` lists them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from mlxd.api.keys import ReadyModel
from mlxd.api.sse import SseEvent
from mlxd.errors import MlxdError
from mlxd.listener.errors import ErrorBody
from mlxd.wire.messages import Finished, Generate, RequestEvent
from mlxd.wire.parts import Part


class GenerationRequest(Protocol):
    """A body that its dialect has read, with every field found right."""

    @property
    def streamed(self) -> bool:
        """Tells whether the answer goes out while it is generated."""

    def to_wire(self, identity: str, model: ReadyModel) -> Generate:
        """Returns the worker's job, with the model's defaults where the request is silent. Raises ``InvalidRequestError`` for what
        this model lacks.
        """


class AnswerShape(Protocol):
    """How a dialect writes one answer. It may remember what it wrote, and serves either of its methods, not both."""

    def whole(self, parts: Sequence[Part], end: Finished) -> bytes:
        """Returns the only document of an answer that does not stream; ``parts`` are all of its parts."""

    def on(self, event: RequestEvent) -> Iterable[SseEvent]:
        """Returns what a stream says of the worker's ``event``; of ``Finished``, everything to the stream's end."""


R = TypeVar("R", bound=GenerationRequest)


@dataclass(frozen=True, kw_only=True)
class Dialect(Generic[R]):
    """One endpoint of one API."""

    path: str  # of its route
    endpoint: str  # its name in logs, metrics and traces
    answer_prefix: str  # of its answers' ids
    read: Callable[[Mapping[str, Any]], R]  # raises ``InvalidRequestError`` naming the field that is wrong
    shape: Callable[[str, ReadyModel, R], AnswerShape]  # of an answer with this id
    error: ErrorBody
    error_event: str | None = None  # the name of a stream's event that says ``error``

    def failure(self, error: MlxdError) -> SseEvent:
        """Returns the last event of a stream that fails."""
        return SseEvent(msgspec.json.encode(self.error(error)), name=self.error_event)
