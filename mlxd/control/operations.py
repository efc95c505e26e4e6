"""What an operator asked for and takes its time: begun at once, looked at later."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import structlog

from mlxd.errors import MlxdError, NotFoundError, ShuttingDownError, excerpt

_KEPT = 100  # finished ones

_log = structlog.get_logger(__name__)


class OperationKind(StrEnum):
    """The things that can be asked of a model, or of an adapter of one."""

    LOAD = "load"
    UNLOAD = "unload"
    DRAIN = "drain"
    RESTART = "restart"
    LOAD_ADAPTER = "load_adapter"
    UNLOAD_ADAPTER = "unload_adapter"


class OperationState(StrEnum):
    """The states of an operation."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass
class Operation:
    """Something an operator asked for. Its times are Unix times."""

    id: str
    kind: OperationKind
    model: str
    adapter: str = ""  # empty: it is of the model itself
    state: OperationState = OperationState.RUNNING
    error: MlxdError | None = None
    started: float = field(default_factory=time.time)
    finished: float | None = None
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    async def wait(self) -> None:
        """Waits until the operation is over, however it ends."""
        if self.task is not None:
            await asyncio.wait({self.task})

    def end(self, error: MlxdError | None = None) -> None:
        """Takes in that the operation is over; ``error`` is why it has failed."""
        self.state = OperationState.SUCCEEDED if error is None else OperationState.FAILED
        self.error, self.finished = error, time.time()


class Operations:
    """The operations that run, and the newest ``_KEPT`` finished ones."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}
        self._finished: deque[str] = deque()  # ids, as they ended
        self._numbers = itertools.count(1)

    def begin(self, kind: OperationKind, model: str, work: Coroutine[Any, Any, None], *, adapter: str = "") -> Operation:
        """Runs ``work`` as an operation, which fails by raising ``MlxdError``."""
        operation = Operation(f"op-{next(self._numbers)}", kind, model, adapter)
        self._operations[operation.id] = operation
        operation.task = asyncio.create_task(_run(operation, work), name=f"{kind} {model}")
        operation.task.add_done_callback(lambda _: self._over(operation, work))
        return operation

    def get(self, identity: str) -> Operation:
        """Returns an operation by its id. Raises ``NotFoundError``."""
        if identity not in self._operations:
            raise NotFoundError(f'there is no operation "{excerpt(identity)}"; the last {_KEPT} are remembered')
        return self._operations[identity]

    def all(self) -> list[Operation]:
        """Returns the operations, the newest first."""
        return list(reversed(self._operations.values()))

    def stop(self) -> None:
        """Cancels all of them, and waits for none."""
        for operation in self._operations.values():
            if operation.task is not None:
                operation.task.cancel()

    def _over(self, operation: Operation, work: Coroutine[Any, Any, None]) -> None:
        """Forgets first those that ended first: the one that took longest was begun first, and somebody waits for it still."""
        work.close()
        if operation.state is OperationState.RUNNING:  # stopped before it had begun
            operation.end(_stopped())
        self._finished.append(operation.id)
        while len(self._finished) > _KEPT:
            del self._operations[self._finished.popleft()]


async def _run(operation: Operation, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except MlxdError as error:
        operation.end(error)
    except asyncio.CancelledError:
        operation.end(_stopped())
        raise
    except Exception:  # noqa: BLE001 - of our own: whoever waits must hear of it
        _log.exception("operation_crashed", operation=operation.kind, model=operation.model)
        operation.end(MlxdError("internal error; the log has the details"))
    else:
        operation.end()


def _stopped() -> ShuttingDownError:
    return ShuttingDownError("the daemon is stopping; what was asked is not done", retry_after=5.0)
