"""``SparseLog``: what happens often, told seldom."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from typing import Final

OTHERS: Final = "others"  # stands for those beyond the table
_INTERVAL = 60.0  # seconds between two lines about one subject
_MOST_SUBJECTS = 1024


class SparseLog:
    """A log with one line a minute about each subject, which ``tell`` writes with the number of times since the line before; the first is
    told at once. It is made for the event loop.
    """

    def __init__(self, tell: Callable[[str, int], None], *, interval: float = _INTERVAL, most_subjects: int = _MOST_SUBJECTS) -> None:
        self._tell = tell
        self._interval = interval
        self._most_subjects = most_subjects
        self._untold: Counter[str] = Counter()  # by subject, of those told of within the interval

    def note(self, subject: str) -> None:
        """Takes note of another time."""
        if subject not in self._untold and len(self._untold) >= self._most_subjects:
            subject = OTHERS
        if subject in self._untold:
            self._untold[subject] += 1
        else:
            self._line(subject, 1)

    def _line(self, subject: str, count: int) -> None:
        self._tell(subject, count)
        self._untold[subject] = 0
        asyncio.get_running_loop().call_later(self._interval, self._sum_up, subject, context=Context())  # not of the first one's request

    def _sum_up(self, subject: str) -> None:
        count = self._untold.pop(subject)
        if count:
            self._line(subject, count)
