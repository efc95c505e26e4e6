"""One worker of one model, from its start to its end, and what of the configuration it was started with."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from mlxd.cache_terms import PinState
from mlxd.client.worker_client import WorkerClient
from mlxd.config.schema import ModelTable
from mlxd.control.model.demand import HeldTo
from mlxd.control.model.eager_adapters import EagerAdapters
from mlxd.control.model.leases import Leases
from mlxd.control.model.load_progress import LoadProgress
from mlxd.control.model.load_spec import limits, load_spec, worker_spec
from mlxd.control.model.probe import probe_of
from mlxd.control.telemetry import Telemetry
from mlxd.errors import GenerationError
from mlxd.types import Limits, ResolvedLimits
from mlxd.wire.events import Finished
from mlxd.wire.messages import NeedsMemory, Progress, Ready, StepStats

MakeRoom = Callable[["WorkerRun", NeedsMemory], Awaitable[int | None]]  # bytes for its cache

_log = structlog.get_logger(__name__)


class WorkerRun:
    """One worker's life, which implements ``client.worker_client.LoadWatcher``. ``holder`` names it in the memory ledger; ``make_room``
    returns when its memory is reserved, or raises; ``released`` is called when a request is over that was given the worker, ``changed``
    when it is known what became of an adapter.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        name: str,
        table: ModelTable,
        client: WorkerClient,
        *,
        holder: str,
        make_room: MakeRoom,
        telemetry: Telemetry,
        released: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.table = table
        self.client = client
        self.holder = holder
        self.progress = LoadProgress(name)
        self.leases = Leases(released)
        self.adapters = EagerAdapters(name, client, changed)
        self.ready: Ready | None = None
        self.needs: NeedsMemory | None = None
        self.stale = False  # to be replaced, whatever the configuration says
        self.source = table.source
        self._load = load_spec(name, table)
        self._make_room = make_room
        self._telemetry = telemetry
        self.spec = worker_spec(self._load)
        self.asked = self.acknowledged = self._load.limits  # the limits it was told last, and said to have
        self.last_step = 0.0  # monotonic
        self.limits_refused: str | None = None  # why it does not have those it was asked to take
        self.held_to = HeldTo()
        self.share: int | None = None  # bytes of the pool of caches
        self.waits_to_grow = False  # there is no memory for its share yet
        self.is_reconfigured = False  # it is being told its limits
        self.ready_at = 0.0  # monotonic
        self.not_replaced: str | None = None  # why the worker that a restart should have put in its place could not be loaded

    async def start(self) -> Ready:
        """Loads the worker. Raises as ``WorkerClient.start``; then nothing of it is left."""
        self.ready = await self.client.start(self._load, self)
        self.ready_at = time.monotonic()
        return self.ready

    async def probe(self) -> None:
        """Does a small job of the model's task for real, by the way every request goes. Raises what is wrong with it."""
        with self.client.submit(probe_of(self.ready.tasks if self.ready else ())) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return
        raise GenerationError("the new worker ended its first job without an answer")

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - running out of time is no error here
        """Waits until the worker's requests are done, it is lost, or ``timeout`` seconds have passed."""
        _log.info("model_draining", model=self.name, pid=self.client.pid, running=self.client.running, timeout=timeout)
        idle, lost = asyncio.ensure_future(self.wait_idle()), asyncio.ensure_future(self.client.wait_lost())
        try:
            await asyncio.wait({idle, lost}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                _log.warning("worker_lost_while_draining", model=self.name, pid=self.client.pid)
            elif not idle.done():
                _log.warning("model_drain_timed_out", model=self.name, running=self.client.running, timeout=timeout)
        finally:
            idle.cancel()
            lost.cancel()

    def memory_with(self, limits: ResolvedLimits) -> int:
        """Returns the bytes that the worker needs with these limits."""
        if self.needs is None:
            return 0
        cache = limits.cache_bytes if self.needs.cache else 0
        return self.needs.beside_cache - self.needs.adapters + limits.adapter_bytes + cache

    def limits_of(self, table: ModelTable) -> Limits:
        """Returns what the worker is to have by ``table``, with its share where the cache is of the common pool."""
        held = self.held_to
        wanted = msgspec.structs.replace(limits(table), restraint=held.restraint, wired_bytes=held.wired_bytes, quotas=held.quotas)
        return msgspec.structs.replace(wanted, cache_bytes=self.share) if self.shares_cache(table) else wanted

    def shares_cache(self, table: ModelTable) -> bool:
        """Tells whether the worker has a cache, and that is to be of the pool that models share."""
        return table.cache.memory.is_auto and self.needs is not None and self.needs.cache > 0

    def has_limits_of(self, table: ModelTable) -> bool:
        """Tells whether the worker has acknowledged the limits of ``table``. Its share of the pool, and what it is held to, change as
        others come and go, and are nothing to wait for.
        """
        known = self.acknowledged
        wanted = msgspec.structs.replace(
            self.limits_of(table), restraint=known.restraint, wired_bytes=known.wired_bytes, quotas=known.quotas
        )
        if self.shares_cache(table):
            wanted = msgspec.structs.replace(wanted, cache_bytes=self.acknowledged.cache_bytes)
        return self.acknowledged == wanted

    @property
    def adapters_refused(self) -> str | None:
        """Says which of the adapters that are to be loaded cannot be, and why; None where all are, or will be."""
        return self.adapters.refused(() if self.client.heartbeat is None else self.client.heartbeat.adapters)

    @property
    def pins_refused(self) -> str | None:
        """Says which of the pins its cache does not keep, as it said last, and why; None where it keeps all, or will."""
        pins = () if self.client.heartbeat is None else self.client.heartbeat.cache.pins
        refused = [f"cache.pin.{pin.name}.prompt_file: {pin.reason}" for pin in pins if pin.state is PinState.REFUSED]
        return "; ".join(refused) or None

    @property
    def held_bytes(self) -> int:
        """Returns what the worker really holds, as it said last; 0 before the first word of it."""
        beat = self.client.heartbeat
        return beat.memory.held if beat is not None else 0

    @property
    def is_busy(self) -> bool:
        """Tells whether requests have the worker, run on it or wait."""
        return len(self.leases) + self.client.running + self.client.waiting > 0

    async def wait_idle(self) -> None:
        """Waits until no request has the worker."""
        while self.is_busy:
            await self.leases.wait_none()
            await self.client.wait_idle()

    def on_progress(self, progress: Progress) -> None:
        self.progress.update(progress)

    async def on_need(self, needs: NeedsMemory) -> int | None:
        self.needs = needs
        granted = await self._make_room(self, needs)
        if granted is not None:
            self.asked = self.acknowledged = msgspec.structs.replace(self.asked, cache_bytes=granted)
        return granted

    def on_step(self, stats: StepStats) -> None:
        self.last_step = time.monotonic()
        self._telemetry.step(self.name, stats)
