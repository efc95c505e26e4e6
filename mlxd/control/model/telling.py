"""What a worker that serves is told of its limits, and what of memory is reserved for them, before and after."""

from collections.abc import Callable

import msgspec
import structlog

from mlxd.control.model.demand import Memory
from mlxd.control.model.worker_run import WorkerRun
from mlxd.errors import MlxdError
from mlxd.types import Limits, ResolvedLimits

_log = structlog.get_logger(__name__)


class Telling:
    """Tells the workers of one model. ``is_there`` says whether a worker has not ended; ``changed`` is called when one was told."""

    def __init__(self, name: str, memory: Memory, *, is_there: Callable[[WorkerRun], bool], changed: Callable[[], None]) -> None:
        self._name = name
        self._memory = memory
        self._is_there = is_there
        self._changed = changed

    async def tell(self, run: WorkerRun) -> None:
        """Makes one change after the other, until the worker has been asked for what is wanted last: again for the same, where that was
        refused and is wanted anew.
        """
        told = None
        while told is not run.asked:
            told = run.asked
            try:
                await self._tell(run, told)
            except MlxdError:  # it is lost; the next one starts with them
                break
        run.is_reconfigured = False
        self._changed()

    async def _tell(self, run: WorkerRun, asked: Limits) -> None:
        """Tells the worker its limits. What it grows by is reserved before, where that is known before; what it shrinks by is given back
        after.
        """
        before = run.client.limits
        if (
            before is not None
            and asked.cache_bytes is not None
            and not self._reserve(run, max(run.memory_with(before), run.memory_with(ResolvedLimits.of(asked, asked.cache_bytes))))
        ):
            self._refuse(run, asked, before)
            kept = msgspec.structs.replace(asked, cache_bytes=before.cache_bytes, adapter_bytes=before.adapter_bytes)
            await run.client.reconfigure(kept)
            run.acknowledged = kept
            return
        now = await run.client.reconfigure(asked)
        if self._reserve(run, run.memory_with(now)):
            run.acknowledged = asked
            _log.info("model_reconfigured", model=self._name)
        elif before is not None:
            kept = msgspec.structs.replace(now, cache_bytes=before.cache_bytes, cache_fraction=None, adapter_bytes=before.adapter_bytes)
            await run.client.reconfigure(kept)
            self._refuse(run, asked, before)

    def _reserve(self, run: WorkerRun, amount: int) -> bool:
        """Reserves so much for a worker; for one that has ended meanwhile nothing is left to reserve."""
        return not self._is_there(run) or self._memory.reserve(run.holder, amount)

    def _refuse(self, run: WorkerRun, asked: Limits, before: ResolvedLimits) -> None:
        """Refuses the limits, where they are a size that somebody wrote; a share of the pool waits until others have shrunk."""
        if run.asked is not asked:
            return
        is_share = asked.cache_bytes is not None and asked.cache_bytes == run.share
        grown = ["adapter_memory"] if asked.adapter_bytes > before.adapter_bytes else []
        grown += [] if is_share or asked.cache_bytes == before.cache_bytes else ["cache.memory"]
        if grown:
            run.limits_refused = f"{' and '.join(grown)}: {self._memory.describe()}"
            _log.error("model_limits_refused", model=self._name, reason=run.limits_refused)
        else:
            run.waits_to_grow = True
