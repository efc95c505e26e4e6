"""When memory that lies idle is given back: once nobody has asked for anything for a while."""


class Idling:
    """A time of ``seconds`` in which nothing is computed, measured by a monotonic clock; it begins ``now``."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._ends: float | None = now + seconds  # None: it is over, and nothing was computed since

    def begin_anew(self, now: float) -> None:
        """Takes in that something was computed."""
        self._ends = now + self._seconds

    def due_in(self, now: float) -> float | None:
        """Returns the seconds until it is over, if nothing is computed; None where that was told already."""
        return None if self._ends is None else max(0.0, self._ends - now)

    def is_over(self, now: float) -> bool:
        """Tells, once, whether it is over."""
        if self._ends is None or now < self._ends:
            return False
        self._ends = None
        return True
