"""The way of a worker's jobs into its queue: each has its place at once, and what takes long of it happens while it waits."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from mlxd.errors import GenerationError, MlxdError
from mlxd.worker.engine.request_queue import RequestQueue

_log = logging.getLogger(__name__)


class Entrance:
    """The entrance of one worker, on its I/O thread. ``fail`` tells of a request that never runs; of one that was aborted meanwhile nothing
    is said. ``what`` a job consists of, such as its prompt, is named where it cannot be tokenized.
    """

    def __init__(self, queue: RequestQueue[Any], fail: Callable[[str, MlxdError], None], what: str) -> None:
        self._queue = queue
        self._fail = fail
        self._what = what
        self._entering: dict[str, asyncio.Task[None]] = {}

    def enter(self, request_id: str, work: Callable[[], Coroutine[Any, Any, None]], behind: int = 0) -> None:
        """Takes a place, which the request has when this returns, and lets ``work`` go on until it is put there.

        Raises ``QueueFullError``.
        """
        self._queue.announce(request_id, behind)
        task = asyncio.get_running_loop().create_task(self._enter(request_id, work))
        self._entering[request_id] = task
        task.add_done_callback(lambda done: self._entered(request_id, done))

    def give_up(self, request_id: str) -> None:
        """Ends the work for a request whose client is gone, where it goes on still."""
        entering = self._entering.pop(request_id, None)
        if entering is not None:
            entering.cancel()

    def close(self) -> None:
        for task in self._entering.values():
            task.cancel()

    def _entered(self, request_id: str, task: asyncio.Task[None]) -> None:
        if self._entering.get(request_id) is task:
            del self._entering[request_id]

    async def _enter(self, request_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except MlxdError as error:
            self._refuse(request_id, error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a tokenizer's fault ends this request only; its panic is no Exception
            _log.exception("the %s of %s could not be tokenized", self._what, request_id)
            self._refuse(request_id, GenerationError(f"the {self._what} could not be tokenized: {error}"))

    def _refuse(self, request_id: str, error: MlxdError) -> None:
        if self._queue.withdraw(request_id):
            self._fail(request_id, error)
