"""What went wrong with one model's workers, and when it is tried again."""

import asyncio
import time
from collections.abc import Callable

import structlog

from mlxd.config.schema import WorkerTable
from mlxd.control.model.restart_policy import GiveUp, Wait, decide
from mlxd.control.telemetry import Telemetry
from mlxd.wire.messages import Load

_log = structlog.get_logger(__name__)


class Recovery:
    """``wake`` is called when a wait before a restart is over."""

    def __init__(self, model: str, telemetry: Telemetry, wake: Callable[[], None]) -> None:
        self.last_error: str | None = None
        self.restarts = 0
        self._model = model
        self._telemetry = telemetry
        self._wake = wake
        self._failed: set[Load] = set()
        self._crashes: list[float] = []  # monotonic
        self._restart_at: float | None = None  # monotonic
        self._timer: asyncio.TimerHandle | None = None

    @property
    def failed(self) -> frozenset[Load]:
        """Workers of these kinds are not tried again."""
        return frozenset(self._failed)

    @property
    def restart_in(self) -> float | None:
        """Seconds until the next try; None: none is waited for."""
        return None if self._restart_at is None else max(0.0, self._restart_at - time.monotonic())

    def crashed(self, reason: str, detail: str, policy: WorkerTable, *, patient: bool = False) -> str | None:
        """A worker ended unasked: wait before the next. After too many there is none: why is returned, and left to the caller to
        ``give_up``. ``patient``: it is tried for ever. ``reason`` as in ``WorkerExit``.
        """
        now = time.monotonic()
        self._crashes = [at for at in self._crashes if now - at < policy.crash_window] + [now]
        self.last_error = detail
        _log.error("worker_hung" if reason == "hang" else "worker_crashed", model=self._model, reason=reason, detail=detail)
        decision = decide(self._crashes, now, policy)
        if isinstance(decision, GiveUp) and patient:
            decision = Wait(policy.restart_backoff_max)
        if isinstance(decision, GiveUp):
            return f"{decision.crashes} crashes within {decision.window:g} s; the last: {detail}"
        self.restarts += 1
        self._telemetry.worker_restarted(self._model, reason)
        self._restart_at = now + decision.seconds
        self._timer = asyncio.get_running_loop().call_later(decision.seconds, self._try_again)
        _log.warning("worker_restarting", model=self._model, reason=reason, wait=round(decision.seconds, 3))
        return None

    def give_up(self, spec: Load, reason: str) -> None:
        """Only another configuration, or an operator, makes it try again."""
        self._failed.add(spec)
        self.last_error = reason

    def succeeded(self, spec: Load) -> None:
        """A worker of this kind is ready: no other has to be started."""
        self._failed.discard(spec)
        self.cancel()

    def forgive(self) -> None:
        """A clean record."""
        self._failed.clear()
        self._crashes.clear()
        self.cancel()

    def cancel(self) -> None:
        """No restart."""
        if self._timer is not None:
            self._timer.cancel()
        self._restart_at = self._timer = None

    def _try_again(self) -> None:
        self._restart_at = self._timer = None
        self._wake()
