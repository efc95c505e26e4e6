"""The events of one request's choices, merged: in the order in which they came, whatever choice they are of."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from mlxd.api.jobs import Jobs
from mlxd.client.worker_client import RequestStream, WorkerClient
from mlxd.errors import MlxdError
from mlxd.wire.events import Finished, RequestEvent


@dataclass(frozen=True)
class ChoiceEvent:
    """What the worker said of a choice, by its number."""

    choice: int
    event: RequestEvent


class ChoiceEvents:
    """An iteration that ends when every choice is finished, and raises what the first of them raises that fails.

    Use it as a context manager: it submits the jobs, one behind the other, and leaving it before the end aborts those that are not over.
    ``on_overflow`` is told when the consumer fell too far behind.
    """

    def __init__(self, client: WorkerClient, jobs: Jobs, on_overflow: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._jobs = jobs
        self._on_overflow = on_overflow
        self._streams: list[RequestStream] = []
        self._order: deque[int] = deque()  # choices, one for each event that can be taken
        self._arrived = asyncio.Event()
        self._unfinished = len(jobs.all)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for choice, job in enumerate(self._jobs.all):
                stream = opening.enter_context(self._client.submit(job))
                self._streams.append(stream)
                stream.on_overflow = self._on_overflow
                stream.listen(partial(self._note, choice))
            self._open = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChoiceEvent:
        while not self._order:
            if not self._unfinished:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        choice = self._order.popleft()
        try:
            event = await anext(self._streams[choice])
        except MlxdError as error:
            raise self._jobs.located(error, choice) from None
        self._unfinished -= isinstance(event, Finished)
        return ChoiceEvent(choice, event)

    def _note(self, choice: int) -> None:
        self._order.append(choice)
        self._arrived.set()
