"""The raw results of a run, read again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.harness.machine import one_line
from benchmarks.harness.measurements import Measurements


@dataclass(frozen=True)
class Results:
    """What was measured, and where and of what."""

    document: dict[str, Any]
    measured: Measurements

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what ``--json`` wrote."""
        document = json.loads(path.read_text())
        return cls(document, Measurements.of(document["measured"]))

    @property
    def rounds(self) -> int:
        """The most that any figure has."""
        return max((len(row["rounds"]) for row in self.document["measured"]), default=0)

    @property
    def extent(self) -> str:
        """Returns how many rounds there are, and of how many runs, where one has resumed another."""
        runs = 1 + sum("resumed" in note for note in self.document.get("notes", ()))
        return _counted(self.rounds, "round") + (f" of {runs} runs" if runs > 1 else "")

    @property
    def where(self) -> str:
        """Returns the machine, the versions and the model in a line."""
        return f"{one_line(self.document)}; {self.document['options']['model']}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
