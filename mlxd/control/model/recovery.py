"""What went wrong with one model's workers, and when it is tried again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from mlxd.config.model_tables import WorkerTable
from mlxd.control.model.restart_policy import has_failed, recent, wait_before_restart
from mlxd.control.telemetry import Telemetry
from mlxd.wire.messages import Load, NeedsMemory

_log = structlog.get_logger(__name__)


@dataclass
class _Record:
    """The record of one kind of worker. ``retry_at`` is monotonic; None while it is barred means that it is not tried again by itself."""

    crashes: list[float] = field(default_factory=list)  # monotonic
    is_barred: bool = False
    is_due: bool = False  # it failed, and may be tried again now
    retry_at: float | None = None
    has_failed: bool = False


class Recovery:
    """The memory of crashes and failures, by kind of worker, which is what it is started with (``load_spec.worker_spec``). ``wake`` is
    called when a wait before a restart is over.
    """

    def __init__(self, model: str, telemetry: Telemetry, wake: Callable[[], None]) -> None:
        self.last_error: str | None = None
        self.restarts = 0
        self.lacking: NeedsMemory | None = None  # what the model needs, where it failed for want of memory
        self._model = model
        self._telemetry = telemetry
        self._wake = wake
        self._records: dict[Load, _Record] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def barred(self) -> frozenset[Load]:
        """Returns the kinds that are not tried now."""
        return frozenset(spec for spec, record in self._records.items() if record.is_barred)

    @property
    def due(self) -> frozenset[Load]:
        """Returns the kinds that failed and may be tried again."""
        return frozenset(spec for spec, record in self._records.items() if record.is_due)

    @property
    def failed(self) -> frozenset[Load]:
        """Returns the barred kinds that crashed too often, or that only another configuration or an operator can mend."""
        return frozenset(spec for spec, record in self._records.items() if record.is_barred and record.has_failed)

    @property
    def restart_in(self) -> float | None:
        """Returns the seconds until the next try; None where none is waited for."""
        times = [record.retry_at for record in self._records.values() if record.retry_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def crashed(self, spec: Load, reason: str, detail: str, policy: WorkerTable) -> None:
        """Bars the kind until the next try, for as long as ``restart_policy`` says. ``reason`` is one of ``WorkerExit``'s."""
        now, record = time.monotonic(), self._records.setdefault(spec, _Record())
        record.crashes = [*recent(record.crashes, now, policy), now]
        record.has_failed = has_failed(record.crashes, now, policy)
        wait = wait_before_restart(record.crashes, now, policy)
        record.is_barred, record.is_due, record.retry_at = True, False, now + wait
        self.restarts += 1
        self.last_error = self._describe(record, detail, policy)
        self._telemetry.worker_restarted(self._model, reason)
        _log.error("worker_hung" if reason == "hang" else "worker_crashed", model=self._model, reason=reason, detail=detail)
        _log.warning("worker_restarting", model=self._model, reason=reason, wait=round(wait, 3))
        self._set_timer()

    def give_up(self, spec: Load, reason: str) -> None:
        """Bars the kind for good: only another configuration, or an operator, makes it try again."""
        record = self._records.setdefault(spec, _Record())
        record.is_barred, record.is_due, record.retry_at, record.has_failed = True, False, None, True
        self.last_error = reason

    def succeeded(self, spec: Load) -> None:
        """Takes in that a worker of this kind is ready. Its crashes are remembered for as long as they count."""
        if spec in self._records:
            self._records[spec] = _Record(self._records[spec].crashes)

    def forgive(self) -> None:
        """Gives every kind a clean record."""
        self._records.clear()
        self.lacking = None
        self.stop()

    def stop(self) -> None:
        """Ends the wait: nobody is woken any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    @staticmethod
    def _describe(record: _Record, detail: str, policy: WorkerTable) -> str:
        return f"{len(record.crashes)} crashes within {policy.crash_window:g} s; the last: {detail}" if record.has_failed else detail

    def _set_timer(self) -> None:
        self.stop()
        wait = self.restart_in
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._try_again)

    def _try_again(self) -> None:
        now = time.monotonic()
        for record in self._records.values():
            if record.retry_at is not None and record.retry_at <= now:
                record.is_barred, record.is_due, record.retry_at = False, True, None
        self._set_timer()
        self._wake()
