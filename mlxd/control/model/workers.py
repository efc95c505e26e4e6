"""The workers there are of one model: the one that serves, the one that loads to take over, those that leave.

This is mechanism without policy: what should be there is the supervisor's decision, and it is told of all that happens.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog

from mlxd import quantities
from mlxd.client.worker_client import WorkerClient, WorkerExit
from mlxd.config.schema import ModelTable
from mlxd.config.task_checks import unused, unused_keys
from mlxd.control.memory.exchange import Claim
from mlxd.control.model.demand import Demand, Memory
from mlxd.control.model.load_spec import limits
from mlxd.control.model.telling import Telling
from mlxd.control.model.worker_run import WorkerRun
from mlxd.control.telemetry import Telemetry
from mlxd.errors import InsufficientMemoryError, MlxdError
from mlxd.types import Task
from mlxd.wire.messages import NeedsMemory

_LOAD = 5.0  # seconds: what a load is taken to last until one has been seen

WorkerFactory = Callable[[str, ModelTable], WorkerClient]

_log = structlog.get_logger(__name__)


class Owner(Protocol):
    """The one who decides what should be there. The methods are called on the event loop and must not raise."""

    def worker_ready(self, run: WorkerRun, before: WorkerRun | None) -> None:
        """Hears that ``run`` serves now; ``before`` did until now, and drains."""

    def load_failed(self, run: WorkerRun, error: MlxdError) -> None:
        """Hears that a load failed; nothing of the worker is left."""

    def worker_lost(self, run: WorkerRun, ended: WorkerExit) -> None:
        """Hears that a worker that served has ended unasked."""

    def workers_changed(self) -> None:
        """Hears that anything is different now."""

    @property
    def is_awaited(self) -> bool:
        """Tells whether a request waits for a worker."""

    async def request_waiting(self) -> float | None:
        """Returns when the request came, in monotonic seconds, that waits longest for a worker. Where none waits, it waits for one, unless
        the load is given up before; None where the worker is wanted though no request waits.
        """


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The way a worker is loaded. With ``probe`` it has to do a job before it takes over. For its memory, ``others_give_way``
    (other models), and it ``may_displace`` the worker it replaces.
    """

    probe: bool
    others_give_way: bool
    may_displace: bool


class Workers:
    """The workers of one model, made on the event loop. ``drain_timeout`` is in seconds, and is asked when a worker begins to drain."""

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        name: str,
        owner: Owner,
        *,
        worker_factory: WorkerFactory,
        telemetry: Telemetry,
        memory: Memory,
        drain_timeout: Callable[[], float],
    ) -> None:
        self.serving: WorkerRun | None = None
        self.loading: WorkerRun | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._leaving: dict[WorkerRun, asyncio.Task[None]] = {}  # draining, or a load that was given up
        self._lost: WorkerRun | None = None  # served until a moment ago; how it ended is not known yet
        self._name = name
        self._owner = owner
        self._make_worker = worker_factory
        self._telemetry = telemetry
        self._memory = memory
        self._drain_timeout = drain_timeout
        self.load_seconds = _LOAD  # of the last load
        self._seen: tuple[str, tuple[Task, ...]] | None = None  # the source that was loaded last, and what its model can be asked to do
        self._started = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling = Telling(name, memory, is_there=lambda run: run in self.all, changed=owner.workers_changed)

    @property
    def all(self) -> list[WorkerRun]:
        """Returns all workers, whatever they do."""
        return [run for run in (self.serving, self.loading, self._lost, *self._leaving) if run is not None]

    @property
    def leaving(self) -> tuple[WorkerRun, ...]:
        """Returns the workers that end, once their requests are done."""
        return tuple(self._leaving)

    @property
    def ending(self) -> tuple[WorkerRun, ...]:
        """Returns the workers whose memory will be free soon: they leave, or are lost."""
        return tuple(run for run in (self._lost, *self._leaving) if run is not None)

    @property
    def is_in_transition(self) -> bool:
        """Tells whether nothing can be started: a worker loads, a load that was given up is not over, or one was lost and it is not known
        how.
        """
        return self._load_task is not None or self._lost is not None

    def tasks_of(self, source: str) -> tuple[Task, ...] | None:
        """Returns what the model of a source can be asked to do, as far as it is what was loaded last; its files have told so."""
        return self._seen[1] if self._seen is not None and self._seen[0] == source else None

    # ---- orders ----

    def start(self, table: ModelTable, terms: Terms) -> None:
        """Begins to load a worker, which takes over when it is ready."""
        self._started += 1
        run = WorkerRun(
            self._name,
            table,
            self._make_worker(self._name, table),
            holder=f"{self._name}#{self._started}",
            make_room=lambda run, needs: self._make_room(run, needs, terms),
            telemetry=self._telemetry,
            released=self._memory.note,
            changed=self._owner.workers_changed,
        )
        self.loading = run
        self._load_task = asyncio.create_task(self._load(run, terms), name=f"load {self._name}")
        _log.info("model_loading", model=self._name, source=table.source, beside=self.serving is not None)
        self._owner.workers_changed()

    def give_up_loading(self) -> None:
        """Gives up the load, since another worker is wanted, or none. The next may start when this one is gone."""
        if self.loading is None or self._load_task is None:
            return
        run, task = self.loading, self._load_task
        self.loading = None
        self._leaving[run] = task
        task.add_done_callback(lambda _: self._load_given_up(run, task))
        task.cancel()
        self._owner.workers_changed()

    def retire(self) -> None:
        """Retires the worker that serves: it takes no new requests; those that run go on until ``drain_timeout``."""
        if self.serving is not None:
            run, self.serving = self.serving, None
            self._leave(run)

    def update(self, table: ModelTable) -> None:
        """Gives the worker that serves what may change while it runs."""
        run = self.serving
        if run is None:
            return
        run.client.watch(hang_timeout=table.worker.hang_timeout, load_timeout=table.worker.load_timeout)
        run.adapters.want(run.acknowledged)
        if run.needs is not None:
            run.needs = msgspec.structs.replace(run.needs, adapters=limits(table).adapter_bytes)
            self._memory.share(run.holder, run.needs, self._take_share(run) if run.shares_cache(table) else None)
        run.held_to = self._memory.held_to(run.holder)
        wanted = run.limits_of(table)
        if run.asked != wanted:
            run.asked, run.limits_refused, run.waits_to_grow = wanted, None, False
            if not run.is_reconfigured:
                run.is_reconfigured = True
                self._spawn(self._telling.tell(run))

    async def stop(self) -> None:
        """Ends all workers now; running requests get ``ShuttingDownError``."""
        runs, tasks = self.all, [task for task in (self._load_task, *self._leaving.values(), *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in runs:
            run.adapters.stop()
        await asyncio.gather(*(run.client.stop() for run in runs))
        self.serving = self.loading = self._lost = self._load_task = None
        self._leaving = {}
        for run in runs:
            self._memory.release(run.holder)

    # ---- loading ----

    async def _load(self, run: WorkerRun, terms: Terms) -> None:
        try:
            await run.start()
            if terms.probe:
                async with asyncio.timeout(run.table.worker.hang_timeout):
                    await run.probe()
        except (MlxdError, TimeoutError) as error:
            await self._end(run)
            self.loading = self._load_task = None
            self._owner.load_failed(run, error if isinstance(error, MlxdError) else MlxdError("its first job took too long"))
        except asyncio.CancelledError:
            await self._end(run)
            raise
        else:
            self.loading = self._load_task = None
            self._take_over(run)
        self._owner.workers_changed()

    def _load_given_up(self, run: WorkerRun, task: asyncio.Task[None]) -> None:
        self._leaving.pop(run, None)
        if self._load_task is task:
            self._load_task = None
        self._owner.workers_changed()

    def _take_over(self, run: WorkerRun) -> None:
        before, self.serving = self.serving, run
        self._spawn(self._watch(run))
        ready = run.ready
        assert ready is not None  # noqa: S101 - it has started
        self.load_seconds = ready.load_seconds
        self._seen = run.source, ready.tasks
        self._telemetry.model_loaded(self._name, ready.load_seconds)
        _log.info(
            "model_ready" if before is None else "model_replaced",
            model=self._name,
            seconds=round(ready.load_seconds, 2),
            runner=ready.runner,
            device=ready.device,
            dtype=ready.dtype,
            context_length=ready.context_length,
            pid=run.client.pid,
        )
        for key in unused_keys(run.table, ready.tasks):
            _log.warning("setting_unused", model=self._name, reason=unused(key))
        self._owner.worker_ready(run, before)
        if before is not None:
            self._leave(before)

    async def _make_room(self, run: WorkerRun, needs: NeedsMemory, terms: Terms) -> int | None:
        """Makes room in this order: what is free, or will be without anybody's doing; other models that may give way, in turn; the worker
        it replaces, which drains first. Returns the bytes of its cache where that is of the pool, else None.
        """
        demand = self._memory.demand(run.holder, needs, self._take_share(run) if run.shares_cache(run.table) else None)
        run.needs = demand.needs
        try:
            await self._find_room(demand, run.table.lifecycle.residence, terms)
        except BaseException:
            demand.withdraw()
            raise
        return demand.granted

    async def _find_room(self, demand: Demand, residence: float, terms: Terms) -> None:
        await self._memory.wait_for_leaving(self._name, demand.wanted)
        if await self._first_place(demand, residence, terms) or await self._place_of_old_ones(demand, terms):
            return
        await self._memory.wait_for_leaving(self._name, demand.wanted)  # caches that shrink take longer than the old worker's end
        if not demand.take():
            raise self.insufficient(demand.needs)

    async def _first_place(self, demand: Demand, residence: float, terms: Terms) -> bool:
        """Takes what is free, or the place of other models when it is the model's turn. Returns False where neither will do."""
        if not (terms.others_give_way and self._owner.is_awaited) and demand.take():
            return True
        since = await self._owner.request_waiting() if terms.others_give_way else None
        return since is not None and await self._turn(demand, since, residence)

    async def _place_of_old_ones(self, demand: Demand, terms: Terms) -> bool:
        """Takes the memory of the model's own workers as they leave; nobody else has it meanwhile. Returns False where it is not enough."""
        if terms.may_displace and self.serving is not None:
            _log.info("model_drained_first", model=self._name, needs=demand.needs.total)
            self.retire()
        if not self._leaving:
            return False
        turn = self._memory.claim(Claim(model=self._name, size=demand.needs.total, since=-math.inf, pushes=False), demand)
        try:
            while self._leaving and not turn.is_met:
                awaited: list[asyncio.Future[Any]] = [*self._leaving.values(), *([] if turn.met.done() else [turn.met])]
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if turn.met.done() and not turn.is_met and demand.take():
                    return True
            return turn.is_met
        finally:
            turn.withdraw()

    async def _turn(self, demand: Demand, since: float, residence: float) -> bool:
        """Waits for the model's turn; returns False where it never comes."""
        claim = Claim(model=self._name, size=demand.needs.total, since=since, load=self.load_seconds, residence=residence)
        turn = self._memory.claim(claim, demand)
        self._owner.workers_changed()
        try:
            return await turn.met
        finally:
            turn.withdraw()
            self._owner.workers_changed()

    def _take_share(self, run: WorkerRun) -> Callable[[int], None]:
        def take(share: int) -> None:
            run.share = share
            self._owner.workers_changed()

        return take

    def insufficient(self, needs: NeedsMemory) -> InsufficientMemoryError:
        """Returns the error that says why there is no room for ``needs``, as things are now. Where nobody's giving way would help, it names
        no time to try again.
        """
        may_fit = not self._memory.admits(self._name) or self._memory.reclaimable(self._name) >= needs.total
        adapters = f"{quantities.size(needs.adapters)} of adapters, " if needs.adapters else ""
        return InsufficientMemoryError(
            f'the model "{self._name}" needs {quantities.size(needs.total)} ({quantities.size(needs.weights)} of weights, '
            f"{quantities.size(needs.cache)} of cache, {adapters}{quantities.size(needs.transients)} to compute), "
            f"but {self._memory.describe()}",
            retry_after=30.0 if may_fit else None,
        )

    # ---- serving ----

    async def _watch(self, run: WorkerRun) -> None:
        """Watches a worker that serves until it is lost."""
        await run.client.wait_lost()
        if run is not self.serving:
            return
        self.serving, self._lost = None, run
        self._owner.workers_changed()
        ended = await run.client.wait_exit()
        await self._end(run)
        self._lost = None
        self._owner.worker_lost(run, ended)
        self._owner.workers_changed()

    # ---- leaving ----

    def _leave(self, run: WorkerRun) -> None:
        self._leaving[run] = asyncio.create_task(self._drain(run), name=f"drain {self._name}")
        self._owner.workers_changed()

    async def _drain(self, run: WorkerRun) -> None:
        try:
            await run.drain(self._drain_timeout())
            await self._end(run)
        finally:
            self._leaving.pop(run, None)
            self._owner.workers_changed()

    async def _end(self, run: WorkerRun) -> None:
        run.adapters.stop()
        await run.client.stop()
        self._memory.release(run.holder)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
