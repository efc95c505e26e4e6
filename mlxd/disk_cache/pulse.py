"""How long a thread has been waiting for a disk."""

import time


class Pulse:
    """A clock that one thread starts and stops, and others read."""

    def __init__(self) -> None:
        self._since: float | None = None

    def beat(self) -> None:
        """Starts it anew: something was done, and the next thing begins."""
        self._since = time.monotonic()

    def rest(self) -> None:
        """Stops it: there is nothing to do."""
        self._since = None

    def waiting(self) -> float:
        """Returns the seconds since the last beat; 0 at rest."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since
