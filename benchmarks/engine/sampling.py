"""What sampling costs a decode step, by what its requests ask for: operations of MLX's graph, and time.

Rows are sampled from random logits as wide as a vocabulary, with prompts of 300 tokens. "order" filters by sorting the most likely tokens,
"threshold" by a search for the logit down to which tokens stay; a device uses one of them, marked with "*". "CPU" is the process's own
time. Medians over the quicker half of the steps. Exit code 1 if the operations by threshold grow with the rows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
import mlx.core as mx

from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import print_rows, say
from benchmarks.harness.trial import Trial
from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling import filters
from mlxd.worker.runtime.sampling.row_sampler import RowSampler

PENALTIES: dict[str, Any] = {"repetition_penalty": 1.1, "frequency_penalty": 0.3, "presence_penalty": 0.2}
KINDS: dict[str, list[dict[str, Any]]] = {
    "greedy": [{"temperature": 0.0}],
    "temperature": [{"temperature": 0.8}],
    "top-p": [{"temperature": 0.8, "top_p": 0.9}],
    "top-k": [{"temperature": 0.8, "top_k": 40}],
    "penalties, greedy": [{"temperature": 0.0, **PENALTIES}],
    "penalties, top-p": [{"temperature": 0.8, "top_p": 0.9, **PENALTIES}],
    "mixed": [{"temperature": 0.0}, {"temperature": 0.8, "top_p": 0.9}, {"temperature": 0.0, **PENALTIES}, {"temperature": 0.8}],
}
WAYS = {"order": False, "threshold": True}
PROMPT, WARM_UP = 300, 3


@dataclass(frozen=True)
class Figure:
    """What the steps of one kind took, in milliseconds. ``is_used`` says whether this device filters so."""

    kind: str
    way: str
    rows: int
    operations: int
    cpu: float
    milliseconds: float
    is_used: bool

    def row(self) -> list[str]:
        """Returns the cells of its row in the table."""
        way = f"{self.way} *" if self.is_used else self.way
        return [self.kind, way, str(self.rows), str(self.operations), f"{self.cpu:.2f}", f"{self.milliseconds:.2f}"]


class Rig:
    """Logits for so many rows, of a few steps."""

    def __init__(self, rows: int, vocab: int) -> None:
        self.rows, self.vocab = rows, vocab
        self._logits = [3 * mx.random.normal((rows, vocab), key=mx.random.key(seed)) for seed in range(4)]
        mx.eval(self._logits)

    def figure(self, kind: str, way: str, steps: int) -> Figure:
        """Returns what sampling takes by one way to filter."""
        used, rows = filters.prefers_thresholds(), [SampledRow(str(row)) for row in range(self.rows)]
        original, filters.prefers_thresholds = filters.prefers_thresholds, lambda: WAYS[way]
        try:
            sampler, took, operations = self._sampler(KINDS[kind]), [], 0
            for step in range(steps + WARM_UP):
                began, cpu = time.perf_counter(), time.process_time()
                draws = sampler.sample(self._logits[step % len(self._logits)], rows)
                tensors = draws.tensors()
                if step == steps:
                    operations = _operations(tensors)
                mx.eval(tensors)
                took.append((time.process_time() - cpu, time.perf_counter() - began))
        finally:
            filters.prefers_thresholds = original
        cpu, seconds = (_quick([one[at] for one in took[WARM_UP:]]) for at in range(2))
        return Figure(kind, way, self.rows, operations, 1e3 * cpu, 1e3 * seconds, used == WAYS[way])

    def _sampler(self, asked: Sequence[dict[str, Any]]) -> RowSampler:
        sampler = RowSampler(self.vocab, {0})
        for row in range(self.rows):
            prompt = EncodedPrompt([(row * 31 + at * 7) % self.vocab for at in range(PROMPT)], 10_000, CacheRoot(model="x"))
            sampler.open(EngineRequest(str(row), prompt, SamplingParams(seed=row, **asked[row % len(asked)])))
        return sampler


def _quick(values: list[float]) -> float:
    """Returns the median of the lower half."""
    return statistics.median(sorted(values)[: -(-len(values) // 2)])


def _operations(tensors: list[mx.array]) -> int:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "graph.dot"
        mx.export_to_dot(str(path), *tensors)
        return path.read_text().count("rectangle")


def _grows(figures: Sequence[Figure]) -> bool:
    """Tells whether a kind that all rows share has more operations at more rows."""
    counts: dict[str, set[int]] = {}
    for one in figures:
        if one.way == "threshold" and len(KINDS[one.kind]) == 1:
            counts.setdefault(one.kind, set()).add(one.operations)
    return any(len(found) > 1 for found in counts.values())


def main() -> int:
    """Print the table; 1 if operations grow with rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", type=int, default=49_152, help="as wide as SmolLM2's")
    parser.add_argument("--rows", type=int, nargs="+", default=[2, 16])
    parser.add_argument("--steps", type=int, default=12, help="of each kind")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts, figures = describe(), list[Figure]()
    say(one_line(facts))

    def work(progress: Progress) -> None:
        trials = [(rows, kind, way) for rows in args.rows for kind in KINDS for way in WAYS]
        for rows, kind, way in progress.over(trials, lambda one: f"{one[1]} by {one[2]}, {one[0]} rows"):
            figures.append(Rig(rows, args.vocab).figure(kind, way, args.steps))

    def report() -> int:
        columns = ["asked for", "filters by", "rows", "operations", "CPU, ms", "ms"]
        print_rows(f"sampling a step, {args.vocab} tokens (lower is better)", columns, [one.row() for one in figures])
        return int(_grows(figures))

    return Trial(report, lambda: {**facts, "figures": [asdict(one) for one in figures]}, args.json).through(work)


if __name__ == "__main__":
    sys.exit(main())
