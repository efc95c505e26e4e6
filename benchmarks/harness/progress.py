"""How far a benchmark is: before each step a line says which one it is, of how many, and about how long the rest will take."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TextIO, TypeVar

T = TypeVar("T")

_PAUSE = 1.0  # seconds between two lines at least: steps may be quick


def _nothing() -> None:
    """Stands for what is done after each step."""


@dataclass
class Progress:
    """``for step in progress.over(steps, name)``. Steps of one name are taken to last as long as each other."""

    after_step: Callable[[], None] = _nothing
    clock: Callable[[], float] = time.monotonic
    out: TextIO = field(default_factory=lambda: sys.stderr)
    _said: float = field(default=float("-inf"), init=False)

    def over(self, steps: Sequence[T], name: Callable[[T], str] = str) -> Iterator[T]:
        """Yields each of ``steps``; what is done between two of them is the earlier one's."""
        seconds: dict[str, list[float]] = defaultdict(list)
        names = [name(step) for step in steps]
        for index, step in enumerate(steps):
            self._say(f"[{index + 1}/{len(steps)}] {names[index]}{_to_go(seconds, names[index:])}")
            began = self.clock()
            yield step
            seconds[names[index]].append(self.clock() - began)
            self.after_step()

    def _say(self, line: str) -> None:
        now = self.clock()
        if now - self._said >= _PAUSE:
            self._said = now
            print(line, file=self.out, flush=True)


def _to_go(seconds: dict[str, list[float]], names: Sequence[str]) -> str:
    """Returns what the steps of ``names`` will take, by those that were: of the same name, else of any."""
    known = {name: median(found) for name, found in seconds.items()}
    if not known:
        return ""
    usual = fmean(known.values())
    return f"; about {duration(sum(known.get(name, usual) for name in names))} to go"


def duration(seconds: float) -> str:
    """Returns ``45 s``, ``12 min`` or ``1 h 5 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
