"""The requests for one model: those that may ask its worker, and those that wait until one serves them, while it loads or for its turn."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from mlxd.config.units import format_duration
from mlxd.control.broadcast import Broadcast
from mlxd.control.memory.exchange import Outlook
from mlxd.control.model.demand import Memory
from mlxd.control.model.goal import Goal
from mlxd.control.model.leases import Lease
from mlxd.control.model.wish import Wish
from mlxd.control.model.worker_run import WorkerRun
from mlxd.control.model.workers import Workers
from mlxd.errors import InsufficientMemoryError, MlxdError


class Loader(Protocol):
    """The one who can have the model loaded."""

    def may_try(self) -> bool:
        """Tells whether a load could come to anything, and nobody has begun one."""

    def want_for_request(self) -> None:
        """Begins a load, to which other models give way."""

    def want_no_more(self) -> None:
        """Hears that nobody waits any more for the model's turn."""

    def refusal(self) -> MlxdError | None:
        """Returns why there is no memory for the model, where that was the last word on it."""


@dataclass(eq=False)
class _Ticket:
    """The place of one request among those that wait."""

    since: float = field(default_factory=time.monotonic)
    served: tuple[WorkerRun, Lease] | None = None
    has_tried: bool = False  # a load has been begun since it came


class Admission:
    """The admission to one model. ``changed`` is told whenever anything about it may be different."""

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self, name: str, goal: Goal, workers: Workers, memory: Memory, *, loader: Loader, changed: Broadcast
    ) -> None:
        self._name = name
        self._goal = goal
        self._workers = workers
        self._memory = memory
        self._loader = loader
        self._changed = changed
        self._tickets: dict[_Ticket, None] = {}  # in the order they came

    @property
    def waiting(self) -> int:
        """Returns how many requests wait."""
        return len(self._tickets)

    @property
    def waiting_since(self) -> float | None:
        """Returns when the one came, in monotonic seconds, that waits longest; None where none waits."""
        return min((ticket.since for ticket in self._tickets), default=None)

    def require_ready(self) -> WorkerRun:
        """Returns the worker that serves. Raises ``ModelLoadingError`` with the time left, ``ModelFailedError`` with the reason,
        ``ModelDrainedError`` or ``ShuttingDownError``.
        """
        if self._workers.serving is not None and self._goal.wish is not Wish.FINISHING:
            return self._workers.serving
        raise self._goal.unavailable()

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[WorkerRun]:
        """Has a worker that serves, for as long as the block lasts; loads one where there is none, and whoever asks meanwhile waits for the
        same load. Raises as ``require_ready``, and ``InsufficientMemoryError`` where there is no room for it, or not soon.
        """
        run, lease = await self._admitted()
        try:
            yield run
        finally:
            lease.end()

    def serve_waiting(self, run: WorkerRun) -> None:
        """Lets all that wait ask ``run``, which is ready, whatever is decided about the model from now on."""
        for ticket in self._tickets:
            ticket.served = ticket.served or (run, run.leases.begin())

    async def _admitted(self) -> tuple[WorkerRun, Lease]:
        if self._workers.serving is None and not self._memory.admits(self._name):
            raise InsufficientMemoryError(f'the model "{self._name}" is not loaded: {self._memory.describe()}', retry_after=30.0)
        if self._workers.serving is not None and self._passes:
            return self._leased(self._workers.serving)
        with self._waiting_room() as ticket:
            while ticket.served is None:
                if self._workers.serving is not None and self._passes:
                    return self._leased(self._workers.serving)
                if not self._is_worth_waiting(ticket):
                    raise self._loader.refusal() or self._goal.unavailable()
                await self._wait(ticket)
            served, ticket.served = ticket.served, None
            return served

    @property
    def _passes(self) -> bool:
        """Tells whether requests may ask the worker that serves."""
        return self._goal.wish.wants_worker and not self._memory.is_closed(self._name)

    @staticmethod
    def _leased(run: WorkerRun) -> tuple[WorkerRun, Lease]:
        return run, run.leases.begin()

    def _is_worth_waiting(self, ticket: _Ticket) -> bool:
        """Tells whether the model may come yet: it gives way to another and comes back, or it loads, by a try that is begun here if nobody
        has, once for each request.
        """
        if self._goal.wish is Wish.FINISHING:
            return False
        if self._workers.serving is not None:
            return True
        if self._goal.wish is not Wish.LOADED_FOR_REQUEST and not ticket.has_tried and self._loader.may_try():
            self._loader.want_for_request()
        ticket.has_tried = ticket.has_tried or self._goal.wish is Wish.LOADED_FOR_REQUEST
        return self._goal.wish is Wish.LOADED_FOR_REQUEST

    async def _wait(self, ticket: _Ticket) -> None:
        """Waits until something changes: for a load as long as that takes, for the model's turn as long as patience lasts."""
        outlook, left = self._memory.outlook(self._name), None
        if outlook is not None:
            left = ticket.since + self._memory.patience - time.monotonic()
            if left <= 0 or outlook.soonest > left:
                raise self._not_soon(outlook)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._changed.wait()

    @contextlib.contextmanager
    def _waiting_room(self) -> Iterator[_Ticket]:
        if self._memory.is_crowded:
            raise self._crowded()
        ticket = _Ticket()
        self._tickets[ticket] = None
        try:
            yield ticket
        finally:
            del self._tickets[ticket]
            if ticket.served is not None:  # it went away in the moment in which it was served
                ticket.served[1].end()
            if not self._tickets and self._memory.outlook(self._name) is not None:
                self._loader.want_no_more()

    def _not_soon(self, outlook: Outlook) -> InsufficientMemoryError:
        patience = format_duration(self._memory.patience)
        return InsufficientMemoryError(
            f'the model "{self._name}" has to wait for its turn, and would not have it within {patience} (memory.patience): '
            f"{self._memory.describe()}",
            retry_after=self._retry_after(outlook),
        )

    def _crowded(self) -> MlxdError:
        outlook = self._memory.outlook(self._name)
        if outlook is None:
            return self._goal.unavailable()
        return InsufficientMemoryError(
            f'the model "{self._name}" has to wait for its turn, and as many requests wait for models as may (memory.max_waiting)',
            retry_after=self._retry_after(outlook),
        )

    def _retry_after(self, outlook: Outlook) -> float:
        return max(1.0, outlook.soonest, outlook.likely) + self._workers.load_seconds
