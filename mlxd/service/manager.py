"""What systemd is told: that the daemon is ready, how it is, that it lives, and when it reloads or stops.

``READY=1`` says that it listens, under the configuration of the file; not that its models are loaded. A load may fetch for an hour, which
no ``TimeoutStartSec`` can bound, and meanwhile health, metrics, administration and the models that are ready do answer. How many are is
in the status line, and ``/readyz`` has it for load balancers. For the same reason a reload is over for systemd once it is taken over.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager

import structlog

from mlxd.control.model.status import ModelStatus
from mlxd.service.progress import Oversight
from mlxd.service.sd_notify import take_notify_socket

_LOOK = 1.0  # seconds between two looks at how the daemon is
_SIGNS_OF_LIFE = 3  # in the time systemd waits for one

_log = structlog.get_logger(__name__)


class ServiceManager:
    """The manager tells systemd about the daemon, and does nothing where ``environ`` names no socket of a service manager (launchd, a
    terminal). Whatever names it is taken out of ``environ``. ``models`` and ``describe`` are asked every second; the latter for one line
    of text.
    """

    def __init__(
        self, environ: MutableMapping[str, str], *, models: Callable[[], Iterable[ModelStatus]], describe: Callable[[], str]
    ) -> None:
        self._socket = take_notify_socket(environ)
        self._models = models
        self._describe = describe
        self._oversight = Oversight()
        self._neglected: list[str] = []
        self._said = ""  # the status line
        self._is_stopping = False

    async def run(self) -> None:
        """Says that the daemon is ready, then how it is and that it lives, until cancelled."""
        if self._socket is None:
            return
        try:
            await self._report(self._socket.watchdog)
        except Exception:
            _log.exception("watchdog_starved", reason="a defect of ours")  # before systemd ends us, it is said why
            raise

    async def _report(self, watchdog: float | None) -> None:
        self._tell("READY=1")
        loop = asyncio.get_running_loop()
        pause = min(_LOOK, watchdog / _SIGNS_OF_LIFE) if watchdog else _LOOK
        looked, sign_due = loop.time(), 0.0
        while True:
            now = loop.time()
            does_its_work = self._does_its_work(min(now - looked, 2 * pause))  # the machine may have slept
            looked = now
            if watchdog and does_its_work and now >= sign_due:
                self._tell("WATCHDOG=1")
                sign_due = now + watchdog / _SIGNS_OF_LIFE - pause / 2
            else:
                self._tell()
            await asyncio.sleep(pause)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Surrounds everything that happens until a new configuration is taken over, or refused."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if not self._is_stopping:
                self._tell("READY=1")

    def stopping(self) -> None:
        """Says that the daemon is stopping from now on."""
        self._is_stopping = True
        self._tell("STOPPING=1")

    def _does_its_work(self, seconds: float) -> bool:
        """Tells whether models are looked after. That this runs at all shows that the event loop does its work."""
        before, self._neglected = self._neglected, self._oversight.observe(self._models(), seconds)
        if self._neglected and self._neglected != before:
            _log.error("watchdog_starved", models=self._neglected, reason="a worker hangs, and its supervisor has not acted")
        return not self._neglected

    def _tell(self, *lines: str) -> None:
        """Sends ``lines``, and the status line with them where it has changed."""
        if self._socket is None:
            return
        status = " ".join(self._describe().split())
        news = [] if status == self._said else [f"STATUS={status}"]
        self._said = status
        if lines or news:
            self._socket.send(*lines, *news)
