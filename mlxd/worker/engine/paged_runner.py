"""The runner over a paged cache: schedule, run, update."""

import logging
from collections import Counter
from collections.abc import Sequence
from time import monotonic

import msgspec
from typing_extensions import override

from mlxd.cache_terms import KeyCacheFigures, PinFigures
from mlxd.errors import NotFiniteError
from mlxd.types import Ability, BlockFigures, CacheFigures, MemoryFigures, ResolvedLimits
from mlxd.worker.engine.adapters.adapters import Adapters
from mlxd.worker.engine.executor import Executor, StepResult
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.pinning import Pinning
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import ALL_OF_TEXT, Runner, StepReport
from mlxd.worker.engine.schedule import Schedule
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.seen_spans import NOTHING_SEEN, SeenSpans
from mlxd.worker.kv.disk_side import DiskSide, NoDisk
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.sizing import CacheSizing

_FLUSHING = 2.0  # seconds: a worker has five to end
_LOADING, _LOADING_SHARE = 0.005, 0.25  # seconds of a step, at least, and the part of it that goes for adapters that come or go
_READING = 0.002  # seconds between two looks at what is being read, with nothing else to do

_log = logging.getLogger(__name__)


class PagedRunner(Runner[EngineRequest]):
    """A batch over one paged cache, with a disk behind it or without. Under restraint it keeps room for one sequence of ``longest`` tokens,
    as far as there is: none is refused, or ends early, that would not be otherwise.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a runner, put together once
        self,
        scheduler: Scheduler,
        manager: Manager,
        executor: Executor,
        sizing: CacheSizing,
        limits: ResolvedLimits,
        disk: DiskSide | NoDisk | None = None,
        longest: int = 0,
    ) -> None:
        self._scheduler = scheduler
        self._manager = manager
        self._executor = executor
        self._sizing = sizing
        self._least = sizing.needed(longest)
        self._limits = self._bounded(limits)
        self._usable = self._limits.usable_cache(self._least)
        self._disk = disk or NoDisk()
        self._pinning = Pinning(scheduler, manager, executor, sizing)
        self._collected: float | None = None  # when the last result came; None after idling
        self._evicted = 0  # as last reported
        self._is_abandoned = False  # requests were aborted since memory was given back
        self._owed = StepReport()  # what the next step has to report beside its own
        self._planned_seconds = 0.0
        self._is_waiting = False  # the last step had nothing to do: what was there to compute is being read
        self._launched_seconds = 0.0  # of the step launched last
        scheduler.reconfigure(self._limits)
        self._share()

    @override
    def add(self, request: EngineRequest) -> None:
        """Queues a request. Raises what ``Scheduler.add`` does."""
        self._scheduler.add(request)
        self._executor.open(request)

    @override
    def uncached(self, request: EngineRequest) -> int:
        chain = request.chain
        found = (len(self._manager.cached(chain)) if chain is not None else 0) * self._manager.block_size
        spans = SeenSpans(request.prompt) if request.prompt.inputs else NOTHING_SEEN
        return max(1, len(request.tokens) - found) + self._scheduler.seeing.to_encode(spans, found)

    @override
    def abort(self, request_id: str) -> None:
        self._is_abandoned = True
        try:
            self._scheduler.forget(request_id)
            self._executor.close(request_id)
        except Exception as error:  # noqa: BLE001 - nobody knows in what state the cache is now
            self._fail(error, self._owed)
            self._owed.failed.pop(request_id, None)
            self._scheduler.forget(request_id)
            self._executor.close(request_id)

    @property
    def adapters(self) -> Adapters:
        """Returns those that its requests may have."""
        return self._scheduler.adapters

    @property
    @override
    def abilities(self) -> frozenset[Ability]:
        return ALL_OF_TEXT | {Ability.ADAPTERS} if self.adapters.can_load else ALL_OF_TEXT

    @property
    @override
    def capacity(self) -> int:
        return self._limits.max_sequences

    @property
    @override
    def planned_seconds(self) -> float:
        return self._planned_seconds

    @property
    @override
    def is_idle(self) -> bool:
        return self._scheduler.is_idle and not self._executor.is_pending and not self._owed.failed and not self.adapters.is_busy

    @property
    @override
    def rest(self) -> float | None:
        if not self.is_idle:
            return _READING if self._is_waiting else 0.0
        return 0.0 if self._is_abandoned and self._manager.has_idle else self._scheduler.fetching.rest

    @override
    def step(self) -> StepReport:
        """Launches the next step, and deals with the result of the one before."""
        report, self._owed = self._owed, StepReport()
        try:
            self._compute(report)
            if self._manager.has_idle:
                self.give_back()
        except Exception as error:  # noqa: BLE001 - whatever MLX or a model raises ends these requests, not the worker
            self._fail(error, report)
        return report

    def _compute(self, report: StepReport) -> None:
        began = monotonic()
        if self._executor.is_pending and self._scheduler.awaits_tokens:
            self._take_pending(report)
        self._scheduler.load_adapters(report, max(_LOADING, _LOADING_SHARE * self._launched_seconds))
        schedule = self._scheduler.schedule(self._executor.settle(), is_growing=self._executor.is_growing)
        pending = self._launched_seconds if self._executor.is_pending else 0.0  # the step before is waited for, too
        self._planned_seconds, self._launched_seconds = schedule.seconds + schedule.encoding + pending, schedule.seconds
        result = self._executor.run(schedule.plan)
        now = monotonic()
        is_reading = self._scheduler.fetching.is_reading or self._scheduler.adapters.is_reading
        self._is_waiting = result is None and not schedule.plan.chunks and is_reading
        self._distrust(result)
        for error in result.encoded.failed.values() if result is not None and result.encoded is not None else ():
            _log.error("what a prompt shows could not be encoded", exc_info=error)
        self._scheduler.update(schedule, result, now - (self._collected or began), report)
        since = now if result is not None else self._collected or now
        self._collected = since if self._executor.is_pending else None
        self._pinning.take(report)
        self._close(report)
        evicted = self._manager.pool.evicted
        report.evicted_blocks, self._evicted = evicted - self._evicted, evicted

    def _take_pending(self, report: StepReport) -> None:
        """Waits for the step that was launched last, with nothing launched behind it."""
        self._executor.settle()
        result = self._executor.run(StepPlan())
        now = monotonic()
        self._distrust(result)
        self._scheduler.update(Schedule(), result, now - (self._collected or now), report)
        self._pinning.take(report)
        self._collected = now

    def _fail(self, error: Exception, report: StepReport) -> None:
        """Ends whoever was computed, but for those whose end is in ``report`` already; those that wait go on. Nothing that is cached can be
        trusted, nor any count of blocks.
        """
        _log.error("a step failed", exc_info=error)
        self._scheduler.fail(error, report)
        self._manager.reset()
        self._executor.reset()
        self._pinning.take(report)
        self._pinning.renew()
        self._close(report)
        self._collected = None
        self._evicted = self._manager.pool.evicted

    def _close(self, report: StepReport) -> None:
        for request_id in (*report.ended, *report.failed):
            self._executor.close(request_id)

    def _distrust(self, result: StepResult | None) -> None:
        """Drops from the prefix cache, with a sequence, those of its cached blocks that are no number."""
        failed = {} if result is None else result.failed
        for sequence in [sequence for sequence, error in failed.items() if isinstance(error, NotFiniteError)]:
            chain = self._scheduler.chain(sequence)
            if chain is not None:
                self._manager.distrust(self._executor.not_finite(self._manager.cached(chain)))
                self._pinning.renew()

    @override
    def reconfigure(self, limits: ResolvedLimits) -> None:
        """Lets what is beyond the end of a cache that shrinks go as soon as nobody holds it."""
        bounded = self._bounded(limits)
        usable = bounded.usable_cache(self._least + self._pinning.bytes)
        changed = (usable, bounded.max_sequences) != (self._usable, self._limits.max_sequences)
        if changed:
            arenas, *windows = (group.pool.addresses.arena_blocks for group in self._manager.groups)
            sizes = self._sizing.resized(usable, arenas, bounded.max_sequences, windows)
            self._manager.resize(capacity=sizes.capacity, snapshots=sizes.snapshots, windows=sizes.windows)
            self._evicted = self._manager.pool.evicted  # not for want of room
        self._disk.reconfigure(limits.disk)
        self._limits, self._usable = bounded, usable
        self._share()
        self._scheduler.reconfigure(bounded)
        self.give_back()

    def _bounded(self, limits: ResolvedLimits) -> ResolvedLimits:
        """Returns limits by which no more sequences run at once than have room for their recurrent states in the cache, which is less by
        what embeddings may take.
        """
        if not self._scheduler.seeing.is_blind:
            self._scheduler.seeing.limit_to(limits.usable_media)
            limits = limits.beside_media
        return msgspec.structs.replace(limits, max_sequences=self._sizing.running(limits.cache_bytes, limits.max_sequences))

    @override
    def pin(self, orders: Sequence[PinOrder]) -> tuple[PinFigures, ...]:
        self._pinning.order(orders, self._limits.cache_bytes)
        return ()

    def _share(self) -> None:
        """Gives the holders of keys what is theirs of the cache, and of its snapshots."""
        shares = {quota.holder: quota.share_of(self._usable) for quota in self._limits.quotas}
        for group in self._manager.groups:
            group.pool.share(shares)
        if self._manager.snapshots is not None:
            self._manager.snapshots.share(shares, self._manager.pool.user_of)

    @override
    def evict_cached(self) -> int:
        freed = self._manager.evict_cached() + self._scheduler.seeing.evict(self._scheduler.running)
        self._evicted = self._manager.pool.evicted  # not for want of room
        self.give_back()
        return freed

    @override
    def give_back(self) -> None:
        """Gives memory back at once where nobody runs: the next step, which would, may be hours away."""
        if not self.is_idle:
            return
        self._is_abandoned = False
        try:
            self._executor.trim(self._scheduler.schedule().plan)
            self._executor.trim(self._memory_plan(self._manager.gather()))
            self._manager.shrink()
            self._executor.trim(self._memory_plan())
        except Exception as error:  # noqa: BLE001 - what was to be copied may be lost
            self._fail(error, self._owed)

    def _memory_plan(self, moves: tuple[Move, ...] = ()) -> StepPlan:
        """Returns a plan that computes nothing: after ``moves``, there is the memory that there is to be."""
        arenas, *windows = (group.pool.arenas for group in self._manager.groups)
        return StepPlan(moves=moves, arenas=arenas, window_arenas=tuple(windows))

    @override
    def memory(self) -> MemoryFigures:
        return msgspec.structs.replace(self._executor.memory(), adapters=self.adapters.nbytes)

    @override
    def cache(self) -> CacheFigures:
        """Counts as free the blocks of arenas that are not allocated yet, too. Bytes are of all layers. Blocks are those of layers that see
        everything: what windows show of the same tokens is not counted again.
        """
        groups, snapshots, bytes_of = self._manager.groups, self._manager.snapshots, self._sizing.bytes_of
        of_groups = [group.pool.counts() for group in groups]
        counts = of_groups[0]
        return CacheFigures(
            bytes_used=bytes_of(one.used for one in of_groups),
            bytes_cached=bytes_of(one.cached for one in of_groups),
            limit_bytes=bytes_of(group.pool.capacity for group in groups),
            disk=self._disk.figures(),
            bytes_pinned=self._pinning.bytes,
            pins=self._pinning.figures(),
            keys=self._keys(),
            media=self._scheduler.seeing.figures,
            kept=BlockFigures(
                used=counts.used,
                shared=counts.shared,
                cached=counts.cached,
                free=self._manager.pool.free,
                bytes_saved=bytes_of(one.references - one.used for one in of_groups),
                snapshots=len(snapshots) if snapshots is not None else 0,
            ),
        )

    def _keys(self) -> dict[str, KeyCacheFigures]:
        """Returns what each key has, in bytes of all layers."""
        held, quotas = Counter[str](), dict[str, int]()
        for group, size in zip(self._manager.groups, self._sizing.block_bytes, strict=True):
            held.update({name: blocks * size for name, blocks in group.pool.held().items() if name})
            for name, blocks in group.pool.quotas().items():
                quotas[name] = quotas.get(name, 0) + blocks * size
        return {name: KeyCacheFigures(held=held[name], quota=quotas.get(name)) for name in dict.fromkeys([*quotas, *held])}

    def wait_for_disk(self, seconds: float) -> bool:
        """Waits until what is on disk can be found, for so long at most, and returns whether it can, or there is nothing to wait for."""
        return self._disk.wait_until_open(seconds)

    @property
    @override
    def is_lasting(self) -> bool:
        return self._limits.disk is not None

    @override
    def close(self) -> None:
        """Lets what others may look for after a restart be written, as far as ``_FLUSHING`` seconds suffice."""
        until = monotonic() + _FLUSHING
        while (spills := self._scheduler.fetching.spills(0.0, is_idle=True)) and monotonic() < until:
            self._executor.run(msgspec.structs.replace(self._memory_plan(), spills=spills))
        self._disk.close(until - monotonic())
