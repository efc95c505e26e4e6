"""One owner of one model's actual state: its worker is started, watched, replaced when it ends unasked, and stopped.

::

    stopped ──start──▶ loading ──ready──▶ ready ──drain──▶ draining ──stop──▶ stopped
                       ▲     │              │
                       │     └─ cannot ─────┼─ too many crashes ─▶ failed ──start──▶ loading
                       └── back-off ◀─ crash, hang
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from mlxd.client.worker_client import WorkerClient
from mlxd.config.schema import LogTable, ModelTable
from mlxd.control.load_progress import LoadProgress
from mlxd.control.load_spec import load_spec
from mlxd.control.model_state import ModelStatus
from mlxd.control.restart_policy import GiveUp, Wait, decide
from mlxd.control.telemetry import Telemetry
from mlxd.errors import (
    ConfigError,
    MlxdError,
    ModelFailedError,
    ModelLoadingError,
    ModelSourceError,
    ModelUnreachableError,
    ShuttingDownError,
    VersionMismatchError,
)
from mlxd.types import ModelState
from mlxd.wire.messages import Progress, Ready, StepStats

WorkerFactory = Callable[[str, ModelTable], WorkerClient]

# What loading again cannot mend.
_PERMANENT = (ModelSourceError, ConfigError, VersionMismatchError)

_log = structlog.get_logger(__name__)


class ModelSupervisor:
    """``start`` and ``stop`` say what is wanted and may be called at any time, again too; a task of its own makes it so."""

    def __init__(self, name: str, config: ModelTable, log: LogTable, *, worker_factory: WorkerFactory, telemetry: Telemetry) -> None:
        self.name = name
        self.config = config
        self._log_table = log
        self._make_worker = worker_factory
        self._telemetry = telemetry
        self._created = int(time.time())
        self._state = ModelState.STOPPED
        self._since = time.time()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._client: WorkerClient | None = None
        self._ready: Ready | None = None
        self._progress: LoadProgress | None = None
        self._crashes: list[float] = []  # monotonic times
        self._restarts = 0
        self._restart_at: float | None = None  # monotonic
        self._last_error: str | None = None
        self._changed = asyncio.Event()

    # ---- what others see ----

    @property
    def state(self) -> ModelState:
        """Now."""
        return self._state

    @property
    def client(self) -> WorkerClient | None:
        """The present worker, if there is one."""
        return self._client

    def status(self) -> ModelStatus:
        """A picture of this moment."""
        client = self._client
        return ModelStatus(
            name=self.name,
            config=self.config,
            state=self._state,
            desired=ModelState.READY if self._task is not None and self._state is not ModelState.DRAINING else ModelState.STOPPED,
            since=self._since,
            created=self._created,
            pid=client.pid if client else None,
            progress=self._progress.last if self._progress else None,
            ready=self._ready,
            heartbeat=client.heartbeat if client else None,
            limits=client.limits if client else None,
            running=client.running if client else 0,
            waiting=client.waiting if client else 0,
            restarts=self._restarts,
            restart_in=max(0.0, self._restart_at - time.monotonic()) if self._restart_at is not None else None,
            last_error=self._last_error,
        )

    def require_ready(self) -> tuple[Ready, WorkerClient]:
        """Raises ``ModelLoadingError`` with the time left, ``ModelFailedError`` with the reason, or ``ShuttingDownError``."""
        if self._state is ModelState.READY and self._ready is not None and self._client is not None:
            return self._ready, self._client
        if self._state is ModelState.FAILED:
            raise ModelFailedError(f'the model "{self.name}" has failed: {self._last_error}')
        if self._state is ModelState.LOADING:
            raise self._loading_error()
        raise ShuttingDownError(f'the model "{self.name}" is {self._state.value}', retry_after=5.0)

    async def wait_changed(self) -> None:
        """Until the state changes next."""
        await self._changed.wait()

    # ---- what is wanted ----

    def start(self) -> None:
        """Make it ready, and keep it so. After ``failed`` it tries again with a clean record."""
        if self._task is not None and not self._task.done():
            return
        self._crashes.clear()
        self._task = asyncio.create_task(self._keep_ready(), name=f"supervise {self.name}")

    def drain(self) -> None:
        """Take no new requests; those that run go on."""
        if self._state is ModelState.READY:
            self._enter(ModelState.DRAINING)

    async def stop(self) -> None:
        """End the worker; running requests get ``ShuttingDownError``. Whoever calls waits for the end, however many call."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop {self.name}")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._become_stopped()
        self._stopping = None

    # ---- making it so ----

    async def _keep_ready(self) -> None:
        try:
            while await self._live_once():
                pass
        except Exception as error:  # noqa: BLE001 - the task's last resort
            _log.exception("supervisor_failed", model=self.name)  # a defect of ours: it must not look like loading for ever
            self._fail(f"an internal error: {type(error).__name__}: {error}")

    async def _live_once(self) -> bool:
        """One worker from start to end, and the wait before the next; False when there is to be none."""
        client = self._make_worker(self.name, self.config)
        self._client = client
        self._progress = LoadProgress(self.name)
        self._enter(ModelState.LOADING)
        _log.info("model_loading", model=self.name, source=self.config.source)
        patient = False  # a network that is down comes back without an operator
        try:
            ready = await client.start(load_spec(self.name, self.config, self._log_table), self._on_progress, self._on_step)
            self._become_ready(ready)
            await client.wait_lost()
            wanted = self._state is ModelState.READY
            self._enter(ModelState.LOADING if wanted else ModelState.STOPPED)  # at once: no request may be sent to it
            ended = await client.wait_exit()
            if not wanted:
                _log.warning("worker_lost_while_draining", model=self.name, reason=ended.reason, detail=ended.detail)
                return False
            reason, detail = ended.reason, ended.detail
        except MlxdError as error:
            if isinstance(error, _PERMANENT) and not isinstance(error, ModelUnreachableError):
                self._fail(error.message)
                return False
            reason, detail = "load_failed", error.message
            patient = isinstance(error, ModelUnreachableError)
        finally:
            self._client = None
            self._ready = None
            self._progress = None
            await client.stop()
        return await self._back_off(reason, detail, patient=patient)

    async def _back_off(self, reason: str, detail: str, *, patient: bool) -> bool:
        now = time.monotonic()
        self._crashes = [at for at in self._crashes if now - at < self.config.worker.crash_window] + [now]
        self._last_error = detail
        _log.error("worker_hung" if reason == "hang" else "worker_crashed", model=self.name, reason=reason, detail=detail)
        decision = decide(self._crashes, now, self.config.worker)
        if isinstance(decision, GiveUp) and patient:
            decision = Wait(self.config.worker.restart_backoff_max)
        if isinstance(decision, GiveUp):
            self._fail(f"{decision.crashes} crashes within {decision.window:g} s; the last: {detail}")
            return False
        self._restarts += 1
        self._telemetry.worker_restarted(self.name, reason)
        self._restart_at = now + decision.seconds
        self._enter(ModelState.LOADING)
        _log.warning("worker_restarting", model=self.name, reason=reason, wait=round(decision.seconds, 3))
        await asyncio.sleep(decision.seconds)
        self._restart_at = None
        return True

    def _become_stopped(self) -> None:
        self._restart_at = None
        if self._state is not ModelState.STOPPED:
            self._enter(ModelState.STOPPED)
            _log.info("model_stopped", model=self.name)

    def _become_ready(self, ready: Ready) -> None:
        self._ready = ready
        self._progress = None
        self._enter(ModelState.READY)
        self._telemetry.model_loaded(self.name, ready.load_seconds)
        _log.info(
            "model_ready",
            model=self.name,
            seconds=round(ready.load_seconds, 2),
            runner=ready.runner,
            device=ready.device,
            dtype=ready.dtype,
            context_length=ready.context_length,
            pid=self._client.pid if self._client else None,
        )

    def _fail(self, reason: str) -> None:
        self._last_error = reason
        self._enter(ModelState.FAILED)
        _log.error("model_failed", model=self.name, reason=reason)

    def _enter(self, state: ModelState) -> None:
        self._state = state
        self._since = time.time()
        self._changed.set()
        self._changed = asyncio.Event()

    def _on_progress(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress.update(progress)

    def _on_step(self, stats: StepStats) -> None:
        self._telemetry.step(self.name, stats)

    def _loading_error(self) -> ModelLoadingError:
        if self._restart_at is not None:
            left = max(1.0, self._restart_at - time.monotonic())
            return ModelLoadingError(f'the model "{self.name}" is being restarted after: {self._last_error}', retry_after=left)
        progress = self._progress or LoadProgress(self.name)
        return ModelLoadingError(f'the model "{self.name}" is {progress.describe()}; try again', retry_after=progress.seconds_left())
