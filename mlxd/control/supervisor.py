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
from collections.abc import Callable

import structlog

from mlxd.client.worker_client import WorkerExit
from mlxd.config.schema import ModelTable
from mlxd.control.load_spec import limits, load_spec, worker_spec
from mlxd.control.model_state import ModelStatus
from mlxd.control.recovery import Recovery
from mlxd.control.telemetry import Telemetry
from mlxd.control.worker_run import WorkerRun
from mlxd.control.workers import Memory, WorkerFactory, Workers
from mlxd.errors import (
    ConfigError,
    InsufficientMemoryError,
    MlxdError,
    ModelDrainedError,
    ModelFailedError,
    ModelLoadingError,
    ModelSourceError,
    ModelUnreachableError,
    ShuttingDownError,
    VersionMismatchError,
)
from mlxd.types import ModelState
from mlxd.wire.messages import Load

# What loading again cannot mend.
_PERMANENT = (ModelSourceError, ConfigError, VersionMismatchError, InsufficientMemoryError)

_log = structlog.get_logger(__name__)


class ModelSupervisor:
    """Made on the event loop. ``drain_timeout`` in seconds, asked when a worker begins to drain."""

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
        # What is wanted.
        self._table = table
        self._spec = _spec(name, table)
        self._wanted = False
        self._by_request = False  # its load was asked for by a request: others may give way to it
        self._held = False  # an operator drained it: requests do not bring it back
        self._quiescing = False  # the daemon is stopping
        # What is there.
        self._workers = Workers(name, self, worker_factory=worker_factory, telemetry=telemetry, memory=memory, drain_timeout=drain_timeout)
        self._good: ModelTable | None = None  # what the last worker that became ready was started with
        # What went wrong.
        self._recovery = Recovery(name, telemetry, self._note)
        self._lacking: int | None = None  # bytes, where it failed for want of memory
        self._refusal: MlxdError | None = None  # why the load a request asked for came to nothing

        self._last_used = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._state = ModelState.STOPPED
        self._since = time.time()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    # ---- what others see ----

    @property
    def config(self) -> ModelTable:
        """As the running snapshot has it."""
        return self._table

    @property
    def state(self) -> ModelState:
        """Now."""
        return self._state

    @property
    def is_gone(self) -> bool:
        """Nothing is wanted of it, and nothing is left."""
        return not self._wanted and not self._workers.all

    @property
    def may_give_way(self) -> bool:
        """It serves, nobody uses it, and it is not pinned."""
        run = self._workers.serving
        return run is not None and self._workers.loading is None and not run.is_busy and not self._table.lifecycle.pin

    @property
    def last_used(self) -> float:
        """Monotonic seconds: when it was asked for last, or did something."""
        return max(self._last_used, self._workers.serving.last_step if self._workers.serving else 0.0)

    def status(self) -> ModelStatus:
        """A picture of this moment."""
        serving, loading = self._workers.serving, self._workers.loading
        run = serving or loading
        client = run.client if run else None
        return ModelStatus(
            name=self.name,
            config=self._table,
            state=self._state,
            desired=ModelState.READY if self._wanted and not self._quiescing else ModelState.STOPPED,
            since=self._since,
            created=self._created,
            pid=client.pid if client else None,
            progress=loading.progress.last if loading else None,
            is_replacing=serving is not None and loading is not None,
            leaving=tuple(pid for pid in (one.client.pid for one in self._workers.leaving) if pid is not None),
            differs=self._differs,
            ready=serving.ready if serving else None,
            heartbeat=client.heartbeat if client else None,
            limits=client.limits if client else None,
            running=sum(one.client.running for one in self._workers.all),
            waiting=sum(one.client.waiting for one in self._workers.all),
            restarts=self._recovery.restarts,
            restart_in=self._recovery.restart_in,
            last_error=self._recovery.last_error,
        )

    # ---- what requests ask ----

    def require_ready(self) -> WorkerRun:
        """The worker that serves. Raises ``ModelLoadingError`` with the time left, ``ModelFailedError`` with the reason,
        ``ModelDrainedError`` or ``ShuttingDownError``.
        """
        if self._workers.serving is not None and not self._quiescing:
            self._last_used = time.monotonic()
            return self._workers.serving
        raise self._unavailable()

    async def become_ready(self) -> WorkerRun:
        """As ``require_ready``, but one that is not loaded is, and whoever asks meanwhile waits for the same load."""
        if self._workers.serving is None and not self._held and not self._quiescing and self._may_try():
            self.want(by_request=True)
        while self._workers.serving is None and self._by_request and not self._quiescing:
            await self._changed.wait()
        if self._workers.serving is None and self._refusal is not None:
            raise self._refusal
        return self.require_ready()

    def _may_try(self) -> bool:
        """Nobody wants it so far; or it failed for want of memory, and others would give way to it now."""
        return not self._wanted or (self._lacking is not None and self._memory.reclaimable(self.name) >= self._lacking)

    def _unavailable(self) -> MlxdError:
        if self._quiescing:
            return ShuttingDownError("the daemon is stopping; try again when it is back", retry_after=5.0)
        if self._held:
            return ModelDrainedError(f'the model "{self.name}" was drained by an operator; it is back when they load it', retry_after=30.0)
        if self._state is ModelState.FAILED:
            return ModelFailedError(f'the model "{self.name}" has failed: {self._recovery.last_error}')
        wait, loading = self._recovery.restart_in, self._workers.loading
        if wait is not None:
            message = f'the model "{self.name}" is being restarted after: {self._recovery.last_error}'
            return ModelLoadingError(message, retry_after=max(1.0, wait))
        if loading is not None:
            message = f'the model "{self.name}" is {loading.progress.describe()}; try again'
            return ModelLoadingError(message, retry_after=loading.progress.seconds_left())
        return ModelLoadingError(f'the model "{self.name}" is {self._state.value}; try again', retry_after=5.0)

    # ---- what others wait for ----

    async def wait_changed(self) -> None:
        """Until the state changes next, or anything that ``wait_settled`` looks at."""
        await self._changed.wait()

    async def wait_settled(self) -> str | None:
        """Until what is there is what is wanted, or it is known why not: that is returned."""
        while not self._is_settled:
            await self._changed.wait()
        return self._differs

    async def wait_idle(self) -> None:
        """Until none of its workers has a request."""
        await asyncio.gather(*(run.client.wait_idle() for run in self._workers.all))

    async def wait_gone(self) -> None:
        """Until nothing of it is left; for one that is not wanted."""
        while not self.is_gone:
            await self._changed.wait()

    @property
    def _is_settled(self) -> bool:
        if not self._wanted:
            return self.is_gone
        if self._workers.is_in_transition:
            return False
        if self._recovery.restart_in is not None:
            return True
        run = self._workers.serving
        if self._recovery.has_failed(self._spec):
            return run is not None or self._fallback() is None
        if run is None or run.spec != self._spec or run.stale:
            return False
        return run.limits_refused is not None or run.acknowledged == limits(self._table)

    @property
    def _differs(self) -> str | None:
        """Why what runs is not what the configuration says; None if it is, or is on its way."""
        if not self._wanted:
            return None
        if self._recovery.has_failed(self._spec) or self._recovery.restart_in is not None:
            return self._recovery.last_error or "it failed"
        return self._workers.serving.limits_refused if self._workers.serving else None

    # ---- what is wanted ----

    def want(self, *, by_request: bool = False) -> None:
        """Make it ready, and keep it so. After ``failed`` it tries again with a clean record."""
        if self._wanted and not self._recovery.has_failures and self._task is not None:
            return
        self._wanted, self._by_request, self._held, self._refusal = True, by_request, False, None
        self._forgive()
        self._begin()

    def restart(self) -> None:
        """A new worker, in the place of the one there is."""
        if self._workers.serving is not None:
            self._workers.serving.stale = True
        self._wanted, self._held = True, False
        self._forgive()
        self._begin()

    def unload(self) -> None:
        """End its worker, once its requests are done or ``drain_timeout`` is over. The next request loads it again."""
        self._wanted = self._by_request = self._held = False
        self._begin()

    def hold(self) -> None:
        """As ``unload``, but requests are refused until it is wanted again."""
        self.unload()
        self._held = True

    def apply(self, table: ModelTable) -> None:
        """The model's part of a new snapshot."""
        spec = _spec(self.name, table)
        if spec != self._spec:
            self._forgive()
        becomes_eager = table.lifecycle.load == "eager" != self._table.lifecycle.load
        self._table, self._spec = table, spec
        if becomes_eager and not self._held:
            self._wanted = True
        self._begin()

    def memory_freed(self, free: int) -> None:
        """So many bytes can be reserved now."""
        if self._wanted and self._lacking is not None and self._lacking <= free:
            self._forgive()
            self._begin()
        run = self._workers.serving
        if run is not None and run.limits_refused is not None:
            run.asked, run.limits_refused = run.acknowledged, None
            self._note()

    def quiesce(self) -> None:
        """The daemon is stopping: take no new requests; those that run go on."""
        self._quiescing = True
        self._note()

    async def stop(self) -> None:
        """End every worker now; running requests get ``ShuttingDownError``. Whoever calls waits for the end, however many call."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop {self.name}")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._wanted = False
        self._recovery.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._workers.stop()
        self._task = self._stopping = None
        self._note()

    # ---- making it so ----

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._live(), name=f"supervise {self.name}")
        self._note()

    def _note(self) -> None:
        """Something changed: wake whoever waits for that, the supervising task first of all."""
        state = self._derived_state()
        if state is not self._state:
            self._state, self._since = state, time.time()
            if state is ModelState.STOPPED:
                _log.info("model_stopped", model=self.name)
        self._wake.set()
        self._changed.set()
        self._changed = asyncio.Event()

    def _derived_state(self) -> ModelState:
        workers = self._workers
        if workers.serving is not None:
            return ModelState.DRAINING if self._quiescing else ModelState.READY
        if self._wanted and self._recovery.has_failed(self._spec) and workers.loading is None and self._fallback() is None:
            return ModelState.FAILED
        if self._wanted or workers.loading is not None:
            return ModelState.LOADING
        return ModelState.DRAINING if workers.all else ModelState.STOPPED

    async def _live(self) -> None:
        try:
            while True:
                self._wake.clear()
                self._act()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_left()):
                        await self._wake.wait()
                if self._idle_left() == 0:
                    _log.info("model_idle", model=self.name, idle=self._table.lifecycle.idle_unload)
                    self.unload()
        except Exception as error:  # noqa: BLE001 - the task's last resort
            _log.exception("supervisor_failed", model=self.name)  # a defect of ours: it must not look like loading for ever
            self._give_up(f"an internal error: {type(error).__name__}: {error}", self._spec)

    def _act(self) -> None:
        """Compare what is wanted with what is there, and take one step."""
        workers, target = self._workers, self._target()
        if target is None:
            self._recovery.cancel()
            workers.give_up_loading()
            workers.retire()
            return
        spec = _spec(self.name, target)
        if workers.loading is not None and workers.loading.spec != spec:
            workers.give_up_loading()
        if workers.is_in_transition or self._recovery.restart_in is not None:
            return
        run = workers.serving
        if run is None or run.stale or run.spec != spec:
            workers.start(target, probe=self._is_replacement(spec), others_give_way=self._by_request)
        else:
            workers.update(self._table)

    def _target(self) -> ModelTable | None:
        """What a worker should run with now: what the file says, or, where that has failed, what was good before."""
        if not self._wanted:
            return None
        if not self._recovery.has_failed(self._spec):
            return self._table
        return self._workers.serving.table if self._workers.serving else self._fallback()

    def _fallback(self) -> ModelTable | None:
        good = self._good
        return good if good is not None and not self._recovery.has_failed(_spec(self.name, good)) else None

    def _is_replacement(self, spec: Load) -> bool:
        """Another worker is or was good: a new one has to prove itself, and is not tried twice."""
        return self._workers.serving is not None or (self._good is not None and _spec(self.name, self._good) != spec)

    def _idle_left(self) -> float | None:
        """Seconds until it may be unloaded for want of use; None: never."""
        limit, run = self._table.lifecycle.idle_unload, self._workers.serving
        if run is None or limit is None or not self._wanted:
            return None
        if run.is_busy or self._workers.loading is not None:
            self._last_used = time.monotonic()
        return max(0.0, self.last_used + limit - time.monotonic())

    # ---- what the workers do; see ``workers.Owner`` ----

    def workers_changed(self) -> None:
        """See ``Owner``."""
        self._note()

    def worker_ready(self, run: WorkerRun, before: WorkerRun | None) -> None:
        """See ``Owner``."""
        del before
        self._good, self._by_request, self._refusal, self._lacking = run.table, False, None, None
        self._last_used = time.monotonic()
        self._recovery.succeeded(run.spec)

    def load_failed(self, run: WorkerRun, error: MlxdError) -> None:
        """See ``Owner``."""
        if self._workers.serving is not None:
            self._workers.serving.stale = False
        lacks_memory = isinstance(error, InsufficientMemoryError)
        self._lacking = run.needs.total if lacks_memory and run.needs is not None else None
        if lacks_memory and self._by_request and self._table.lifecycle.load == "lazy":
            self._refusal, self._recovery.last_error, self._wanted, self._by_request = error, error.message, False, False
            _log.warning("model_load_refused", model=self.name, reason=error.message)
        elif self._is_replacement(run.spec) or (isinstance(error, _PERMANENT) and not isinstance(error, ModelUnreachableError)):
            self._give_up(error.message, run.spec)
        else:
            self._crashed(run, "load_failed", error.message, patient=isinstance(error, ModelUnreachableError))

    def worker_lost(self, run: WorkerRun, ended: WorkerExit) -> None:
        """See ``Owner``."""
        if self._wanted:
            self._crashed(run, ended.reason, ended.detail)

    def _crashed(self, run: WorkerRun, reason: str, detail: str, *, patient: bool = False) -> None:
        hopeless = self._recovery.crashed(reason, detail, self._table.worker, patient=patient)
        if hopeless is not None:
            self._give_up(hopeless, run.spec)

    def _forgive(self) -> None:
        self._recovery.forgive()
        self._lacking = None

    def _give_up(self, reason: str, spec: Load) -> None:
        self._recovery.give_up(spec, reason)
        self._by_request = False
        if self._workers.serving is not None or self._fallback() is not None:
            _log.error("model_replacement_failed", model=self.name, reason=reason)
        else:
            _log.error("model_failed", model=self.name, reason=reason)
        self._note()


def _spec(name: str, table: ModelTable) -> Load:
    return worker_spec(load_spec(name, table))
