"""One owner of one model's actual state: it brings the state toward what is wanted, whatever happens on the way.

::

    stopped ──wanted──▶ loading ──ready──▶ ready ──not wanted──▶ draining ──▶ stopped
                        ▲     │            │  ▲
                        │     │            │  └── the configuration changed: a new worker loads beside, then takes over
                        │     └─ cannot ───┼─ too many crashes ─▶ failed ──another configuration, restart──▶ loading
                        └── back-off ◀─ crash, hang

Level-triggered: ``apply``, ``want``, ``unload`` say what is wanted and may be called at any time, again too; one task compares that with
what is there and acts. Requests keep the worker they started on: a worker that is not wanted any more drains.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import structlog

from mlxd.client.worker_client import WorkerExit
from mlxd.config.schema import ModelTable
from mlxd.control.broadcast import Broadcast
from mlxd.control.memory.exchange import Tenure
from mlxd.control.memory.governor import Resident
from mlxd.control.model.admission import Admission
from mlxd.control.model.aftermath import Aftermath
from mlxd.control.model.decision import GiveUpLoading, Leave, Start, Tell, Wait
from mlxd.control.model.demand import Memory
from mlxd.control.model.goal import Goal
from mlxd.control.model.load_spec import limits
from mlxd.control.model.picture import picture
from mlxd.control.model.recovery import Recovery
from mlxd.control.model.residence import Residence
from mlxd.control.model.status import ModelStatus
from mlxd.control.model.wish import Order, Wish
from mlxd.control.model.worker_run import WorkerRun
from mlxd.control.model.workers import Terms, WorkerFactory, Workers
from mlxd.control.telemetry import Telemetry
from mlxd.errors import MlxdError
from mlxd.types import ModelState

_log = structlog.get_logger(__name__)


class ModelSupervisor:
    """The supervisor of one model, made on the event loop. ``drain_timeout`` is in seconds, and is asked when a worker begins to drain."""

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        name: str,
        table: ModelTable,
        *,
        worker_factory: WorkerFactory,
        telemetry: Telemetry,
        memory: Memory,
        drain_timeout: Callable[[], float],
    ) -> None:
        self.name = name
        self._memory = memory
        self._created = int(time.time())
        self._workers = Workers(name, self, worker_factory=worker_factory, telemetry=telemetry, memory=memory, drain_timeout=drain_timeout)
        self._recovery = Recovery(name, telemetry, self._note)
        self._goal = Goal(name, table, self._workers, self._recovery)
        self._aftermath = Aftermath(name, self._goal, self._workers, self._recovery)
        self._residence = Residence(self._goal, self._workers)
        self._changed = Broadcast()
        self._admission = Admission(name, self._goal, self._workers, memory, loader=self, changed=self._changed)
        self._is_ordered = False  # an operator wants the model that is being loaded for a request
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._state = ModelState.STOPPED
        self._since = time.time()
        self._wake = asyncio.Event()

    # ---- what others see ----

    @property
    def config(self) -> ModelTable:
        """Returns the model's table as the running snapshot has it."""
        return self._goal.table

    @property
    def state(self) -> ModelState:
        return self._state

    @property
    def is_gone(self) -> bool:
        """Tells whether nothing is wanted of the model, and nothing is left."""
        return self._goal.is_gone

    @property
    def is_settled(self) -> bool:
        """Tells whether what is there is what is wanted, or it is known why not."""
        return self._goal.is_settled

    @property
    def trouble(self) -> str | None:
        """Says why what runs is not what the configuration says, also while that is tried again."""
        return self._goal.trouble

    @property
    def tenure(self) -> Tenure | None:
        """Returns how the model has its place, for those that want it; None where it has none, or leaves it."""
        return self._residence.tenure

    @property
    def requests_waiting(self) -> int:
        """Returns how many requests wait until the model serves them: while it loads, or for its turn."""
        return self._admission.waiting

    @property
    def leaving(self) -> tuple[str, ...]:
        """Returns the names in the ledger of workers whose memory will be free without anybody's doing."""
        stays = self._goal.wish.wants_worker or self._goal.wish is Wish.FINISHING
        return tuple(run.holder for run in (self._workers.ending if stays else self._workers.all))

    @property
    def resident(self) -> Resident | None:
        """Returns what there is to know of the model's use where it has a worker, else None."""
        return self._residence.resident(self.name)

    @property
    def held_bytes(self) -> dict[str, int]:
        """Returns what each of its workers really holds, by its name in the ledger."""
        return {run.holder: run.held_bytes for run in self._workers.all}

    def status(self) -> ModelStatus:
        """Returns a picture of this moment."""
        on_demand = self._goal.wish is Wish.LOADED_FOR_REQUEST or (self._goal.wish is Wish.UNLOADED and self.may_try())
        shown = picture(self.name, self._goal, self._workers, self._recovery, created=self._created, since=self._since, on_demand=on_demand)
        return replace(shown, state=self._state, awaiting=self._admission.waiting)

    # ---- what requests ask ----

    def require_ready(self) -> WorkerRun:
        """Returns the worker that serves. Raises as ``Admission.require_ready``."""
        return self._admission.require_ready()

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[WorkerRun]:
        """Has a worker that serves, for as long as the block lasts. Raises as ``Admission.hold``."""
        async with self._admission.hold() as run:
            self._residence.touch()
            yield run

    # ---- what those that wait need; see ``admission.Loader`` ----

    def may_try(self) -> bool:
        """Tells whether a request may begin a load: nobody wants the model so far, and nothing says that it would come to nothing; or it
        failed for want of memory, and would fit now.
        """
        lacking = self._recovery.lacking
        if lacking is not None:
            return self._memory.reclaimable(self.name) >= lacking.total and self._goal.wish is not Wish.FINISHING
        return self._goal.wish is Wish.UNLOADED and self._goal.spec() not in self._recovery.barred

    def want_for_request(self) -> None:
        if self._recovery.lacking is not None:
            self._recovery.forgive()
        self._is_ordered = False
        self._wish(Wish.LOADED_FOR_REQUEST)

    def want_no_more(self) -> None:
        if self._goal.wish is Wish.LOADED_FOR_REQUEST and not self._is_ordered:
            self.unload()

    def refusal(self) -> MlxdError | None:
        return None if self._recovery.lacking is None else self._workers.insufficient(self._recovery.lacking)

    @property
    def is_awaited(self) -> bool:
        return self._admission.waiting > 0

    async def request_waiting(self) -> float | None:
        while (since := self._admission.waiting_since) is None and not self._is_ordered:
            self.want_no_more()
            await self._changed.wait()
        return since

    # ---- what others wait for ----

    async def wait_changed(self) -> None:
        """Waits until the state changes next, or anything that ``wait_settled`` looks at."""
        await self._changed.wait()

    async def wait_settled(self) -> str | None:
        """Waits until what is there is what is wanted, or it is known why not; returns the reason, or None."""
        while not self._goal.is_settled:
            await self._changed.wait()
        serving = self._workers.serving
        return self._goal.differs or (serving.not_replaced if serving else None)

    async def wait_idle(self) -> None:
        """Waits until none of the model's workers has a request."""
        await asyncio.gather(*(run.wait_idle() for run in self._workers.all))

    async def wait_gone(self) -> None:
        """Waits until nothing is left of a model that is not wanted; if it is wanted again meanwhile, until what leaves has left."""
        while self._workers.leaving or not (self._goal.wish.wants_worker or self.is_gone):
            await self._changed.wait()

    # ---- what is wanted ----

    def want(self) -> None:
        """Makes the model ready, and keeps it so. After ``failed`` it tries again with a clean record."""
        self._is_ordered = True
        if not self._goal.wish.wants_worker or self._recovery.failed or self._task is None:
            self._recovery.forgive()
            self._wish(Wish.LOADED)

    def restart(self) -> None:
        """Gives the model a new worker, in the place of the one there is."""
        if self._workers.serving is not None:
            self._workers.serving.stale = True
        self._recovery.forgive()
        self._wish(self._goal.wish if self._goal.wish.wants_worker else Wish.LOADED)

    def unload(self) -> None:
        """Ends the model's worker, once its requests are done or ``drain_timeout`` is over. The next request loads it again."""
        self._wish(Wish.UNLOADED)

    def drain(self) -> None:
        """Ends the model's worker as ``unload``, but requests are refused until it is wanted again."""
        self._wish(Wish.DRAINED)

    @property
    def order(self) -> Order:
        """Returns what is wanted now, to be put back."""
        return Order(self._goal.table, self._goal.wish)

    def put_back(self, order: Order) -> None:
        """Makes wanted again what was wanted once."""
        self._goal.table, self._goal.wish = order.table, order.wish
        self._note()

    def apply(self, table: ModelTable) -> None:
        """Takes over the model's part of a new snapshot."""
        needs_other = self._recovery.lacking is not None and limits(table) != limits(self._goal.table)
        if self._goal.spec(table) != self._goal.spec() or needs_other:
            self._recovery.forgive()
        if self._workers.serving is not None:
            self._workers.serving.not_replaced = None
        becomes_eager = table.lifecycle.load == "eager" != self._goal.table.lifecycle.load
        self._goal.table = table
        if becomes_eager and self._goal.wish is Wish.UNLOADED:
            self._goal.wish = Wish.LOADED
        self._begin()

    def memory_freed(self, free: int) -> None:
        """Hears that ``free`` bytes can be reserved now."""
        if self._goal.wish.wants_worker and self._recovery.lacking is not None and self._recovery.lacking.total <= free:
            self._recovery.forgive()
            self._begin()
        run = self._workers.serving
        if run is not None and (run.limits_refused is not None or run.waits_to_grow):
            run.asked, run.limits_refused, run.waits_to_grow = run.acknowledged, None, False
            self._note()

    def terms_changed(self) -> None:
        """Hears that its workers are held to something else."""
        self._note()

    def finish(self) -> None:
        """Takes no new requests, since the daemon is stopping; those that run go on."""
        self._goal.wish = Wish.FINISHING
        self._note()

    async def stop(self) -> None:
        """Ends every worker now; running requests get ``ShuttingDownError``. Whoever calls waits for the end, however many call."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop {self.name}")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._goal.wish = Wish.UNLOADED
        self._recovery.forgive()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._workers.stop()
        self._task = self._stopping = None
        self._note()

    # ---- making it so ----

    def _wish(self, wish: Wish) -> None:
        """Sets what is wanted, unless the daemon stops: then nothing is begun any more, whoever asks for it."""
        if self._goal.wish is not Wish.FINISHING:
            self._goal.wish = wish
        self._begin()

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._live(), name=f"supervise {self.name}")
        self._note()

    def _note(self) -> None:
        """Wakes whoever waits for a change, the supervising task first of all."""
        state = self._goal.state
        if state is not self._state:
            self._state, self._since = state, time.time()
            if state is ModelState.STOPPED:
                _log.info("model_stopped", model=self.name)
        self._wake.set()
        self._changed.tell()
        self._memory.note()

    async def _live(self) -> None:
        try:
            while True:
                self._wake.clear()
                self._act()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._residence.idle_left()):
                        await self._wake.wait()
                if self._residence.idle_left() == 0:
                    _log.info("model_idle", model=self.name, idle=self._goal.table.lifecycle.idle_unload)
                    self.unload()
        except Exception as error:  # noqa: BLE001 - the task's last resort
            _log.exception("supervisor_failed", model=self.name)  # a defect of ours: it must not look like loading for ever
            self._aftermath.give_up(f"an internal error: {type(error).__name__}: {error}", self._goal.spec())
            self._note()

    def _act(self) -> None:
        """Takes one step toward what is wanted."""
        workers = self._workers
        match self._goal.decide():
            case Leave():
                workers.give_up_loading()
                workers.retire()
            case GiveUpLoading():
                workers.give_up_loading()
            case Start(spec, probe, may_displace):
                for_request = self._goal.wish is Wish.LOADED_FOR_REQUEST
                workers.start(self._goal.table_of(spec), Terms(probe=probe, others_give_way=for_request, may_displace=may_displace))
            case Tell():
                workers.update(self._goal.table)
            case Wait():
                pass

    # ---- what the workers do; see ``workers.Owner`` ----

    def workers_changed(self) -> None:
        self._note()

    def worker_ready(self, run: WorkerRun, before: WorkerRun | None) -> None:
        del before
        self._aftermath.ready(run)
        self._residence.touch()
        self._admission.serve_waiting(run)

    def load_failed(self, run: WorkerRun, error: MlxdError) -> None:
        self._aftermath.load_failed(run, error)

    def worker_lost(self, run: WorkerRun, ended: WorkerExit) -> None:
        self._aftermath.lost(run, ended)
