"""The directories of caches on disk, as the daemon looks at them: in threads of their own, for a disk may not answer."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from mlxd.control.model.load_spec import limits
from mlxd.control.model.status import ModelStatus
from mlxd.disk_cache.survey import Removal, Survey, remove, survey
from mlxd.disk_terms import DiskSettings

T = TypeVar("T")

_PATIENCE = 10.0  # seconds
_SILENT = "the disk does not answer"


class DiskDirectories:
    """One look at a time at each directory, so that a disk that hangs holds one thread, however often it is asked about."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._running: dict[str, Future[object]] = {}

    async def survey(self, path: str) -> Survey:
        """Tells what is in a directory."""
        return await self._ask(path, lambda: survey(path)) or Survey(path, problem=_SILENT)

    async def remove(self, path: str, model: str | None) -> Removal:
        """Removes what is in a directory, of a model or of all."""
        return await self._ask(path, lambda: remove(path, model)) or Removal(path, problem=_SILENT)

    async def _ask(self, path: str, work: Callable[[], T]) -> T | None:
        """Returns what the work returns; None where the disk is too slow, or still busy with what was asked before."""
        before = self._running.get(path)
        if before and not before.done():
            await asyncio.wait([asyncio.wrap_future(before)], timeout=self._patience)
            if not before.done():
                return None
        future: Future[T] = Future()
        self._running[path] = future  # type: ignore[assignment]  # only whether it is done is asked of it
        threading.Thread(target=_do, args=(work, future), name="disk-survey", daemon=True).start()
        wrapped = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([wrapped], timeout=self._patience)
        return wrapped.result() if done else None


def configured(statuses: Iterable[ModelStatus]) -> dict[str, tuple[DiskSettings, list[ModelStatus]]]:
    """Returns the directories that models are configured to use, without detours, each with its settings and its models."""
    found: dict[str, tuple[DiskSettings, list[ModelStatus]]] = {}
    for status in statuses:
        disk = limits(status.config).disk
        if disk is not None:
            found.setdefault(os.path.normpath(disk.path), (disk, []))[1].append(status)
    return found


def _do(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whoever waits must learn it
        future.set_exception(error)
