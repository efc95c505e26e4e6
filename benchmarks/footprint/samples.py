"""What was measured, a line a second, piece after piece."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

_GROWTH = 1.03
_BYTES = 2 * 2**20
_MIB = 2**20


@dataclass(frozen=True)
class Verdict:
    """How one process's footprint went on after the warm-up, in bytes."""

    name: str
    before: float  # the median of the second third of the samples
    after: float  # of the last

    @property
    def is_flat(self) -> bool:
        """Tells whether it has not grown by more than noise."""
        return self.after <= max(self.before * _GROWTH, self.before + _BYTES)

    def __str__(self) -> str:
        """Says it in a line."""
        word = "flat" if self.is_flat else "GROWS"
        return f"{self.name:8}  {self.before / _MIB:7.1f} MiB, then {self.after / _MIB:7.1f} MiB: {word}"


class Samples:
    """The samples of a file, to which more are added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self._offset = dict(self.lines[-1]["counts"]) if self.lines else {}

    def add(self, counts: Mapping[str, int], footprints: Mapping[str, int]) -> None:
        """Adds a sample; ``counts`` are of this piece."""
        total = {name: count + self._offset.get(name, 0) for name, count in counts.items()}
        self.lines.append({"time": time.time(), "counts": total, "footprints": dict(footprints)})
        with self._path.open("a") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")

    def series(self, name: str) -> list[int]:
        """Returns the footprints of one process, in order."""
        return [line["footprints"][name] for line in self.lines if line["footprints"].get(name)]

    @property
    def names(self) -> list[str]:
        """Returns the names of all processes that there were."""
        return list(dict.fromkeys(name for line in self.lines for name in line["footprints"]))

    def verdicts(self) -> list[Verdict]:
        """Returns one for each process."""
        found = []
        for name in self.names:
            series = self.series(name)
            third = len(series) // 3
            if third:
                found.append(Verdict(name, median(series[third : 2 * third]), median(series[2 * third :])))
        return found

    def summary(self) -> str:
        """Says how far it is."""
        counts = self.lines[-1]["counts"] if self.lines else {}
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        sizes = ", ".join(f"{name} {self.series(name)[-1] / _MIB:.0f} MiB" for name in self.names)
        return f"{told}; {sizes}"
