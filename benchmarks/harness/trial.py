"""One trial of a benchmark: whatever ends it, what was measured by then is shown and written."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.progress import Progress
from benchmarks.harness.signals import interrupt_on_signals, uninterrupted
from benchmarks.harness.tables import say, write_json

STOPPED = 130  # the exit code that shells give to what Ctrl-C has ended


@dataclass
class Trial:
    """``Trial(report, document, args.json).through(work)``.

    ``report`` prints the tables of what there is, be it a part of all rounds, and returns the exit code; ``document`` is what is written
    to ``json``, after each step of the progress and at the end.
    """

    report: Callable[[], int]
    document: Callable[[], dict[str, Any]]
    json: Path | None = None

    def through(self, work: Callable[[Progress], None]) -> int:
        """Returns the exit code: the report's; 1 after a ``BenchmarkError``; 130 after Ctrl-C or TERM, which end ``work`` and no more."""
        interrupt_on_signals()
        try:
            ended = self._ended(work)
        finally:  # a fault of the benchmark's own is no reason to lose what it has found
            with uninterrupted():
                code = self._tell()
        return ended or code

    def save(self) -> None:
        """Writes what there is so far."""
        if self.json:
            write_json(self.json, self.document())

    def _tell(self) -> int:
        self.save()
        code = self.report()
        if self.json:
            say(f"raw results: {self.json}")
        return code

    def _ended(self, work: Callable[[Progress], None]) -> int:
        try:
            work(Progress(self.save))
        except BenchmarkError as error:
            print(error, file=sys.stderr)
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            say("\nstopped; what there is so far:")
            return STOPPED
        return 0
