"""The requests there are at this moment: for an operator to look at, and to cancel."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from mlxd.errors import MlxdError, NotFoundError, RequestCancelledError, excerpt
from mlxd.types import Usage


class Stage(StrEnum):
    """The stages of a request's life."""

    LOADING = "loading"  # its model is being loaded for it, or waits for its turn
    WAITING = "waiting"  # in its model's queue
    RUNNING = "running"


@dataclass
class LiveRequest:
    """A request that is not over. ``id`` is the one its answer has. ``stop`` ends it with an error, wherever it is."""

    id: str
    request_id: str  # of the HTTP request: the client's word
    endpoint: str
    model: str
    streamed: bool
    stop: Callable[[MlxdError], None]
    adapter: str = ""  # the name of the one it is answered with
    key: str = "anonymous"  # the name of the key it was asked by
    arrived: float = field(default_factory=time.time)  # Unix time
    stage: Stage = Stage.LOADING
    usage: Callable[[], Usage | None] = lambda: None  # so far; None before it runs


class LiveRequests:
    """The requests there are, in the order they came."""

    def __init__(self) -> None:
        self._requests: dict[str, LiveRequest] = {}

    @contextlib.contextmanager
    def track(self, request: LiveRequest) -> Iterator[LiveRequest]:
        """Keeps the request among the others for as long as the block lasts."""
        self._requests[request.id] = request
        try:
            yield request
        finally:
            del self._requests[request.id]

    def of(self, model: str) -> list[LiveRequest]:
        """Returns the requests of one model, by its id."""
        return [request for request in self._requests.values() if request.model == model]

    def cancel(self, model: str, identity: str) -> LiveRequest:
        """Ends a request with an error, and returns it. Raises ``NotFoundError`` where there is none, or none any more."""
        request = self._requests.get(identity)
        if request is None or request.model != model:
            raise NotFoundError(f'the model "{model}" has no request "{excerpt(identity)}" now')
        request.stop(RequestCancelledError("the request was cancelled by an operator"))
        return request
