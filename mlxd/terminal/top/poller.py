"""Asks the daemon again and again, on a thread of its own."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlxd.errors import MlxdError, NotFoundError
from mlxd.terminal.admin_client import AdminClient, model_path
from mlxd.terminal.top.history import Look


@dataclass(frozen=True)
class Failure:
    """There was no answer, and why. A ``defect`` is ours: it must not be taken for the daemon's silence."""

    message: str
    defect: Exception | None = None


class Poller:
    """The poller calls ``tell`` on its thread, with each answer or failure."""

    def __init__(self, client: AdminClient, interval: float, tell: Callable[[Look | Failure], None]) -> None:
        self._client, self._interval, self._tell = client, interval, tell
        self._model: str | None = None
        self._wanted = threading.Event()  # an answer, before the interval is over
        self._ended = False

    def start(self) -> None:
        """Starts the thread, which ends with the program: it may be waiting for a daemon that hangs."""
        threading.Thread(target=self._run, name="poller", daemon=True).start()

    def stop(self) -> None:
        """Tells nothing more from now on."""
        self._ended = True
        self._wanted.set()

    def follow(self, model: str | None) -> None:
        """Asks for the requests of this model from now on."""
        if model != self._model:
            self._model = model
            self._wanted.set()

    def look(self) -> Look:
        """Asks the daemon once. Raises ``MlxdError``."""
        model = self._model
        status = self._client.get("/admin/v1/status")
        at = time.monotonic()
        if model is None:
            return Look(at=at, status=status)
        try:
            requests = self._client.get(model_path(model, "requests"))["requests"]
        except NotFoundError:  # it has gone meanwhile
            return Look(at=at, status=status)
        return Look(at=at, status=status, model=model, requests=requests)

    def _run(self) -> None:
        while not self._ended:
            self._wanted.clear()
            told = self._look_or_failure()
            if not self._ended:
                self._tell(told)
            self._wanted.wait(self._interval)

    def _look_or_failure(self) -> Look | Failure:
        try:
            return self.look()
        except MlxdError as error:
            return Failure(error.message)
        except Exception as error:  # noqa: BLE001 - for the main thread to raise: nobody sees what a thread dies of
            return Failure("", error)
