"""What it takes to ask for a decode step: the operations of MLX's graph, and Python's time to build it, by each way to attend.

On a GPU an operation costs a dispatch, and Python's time is hidden only while it is shorter than the step. Rows have runs of their own, a
beginning in common (``shared``), or eight runs each (``aged``), and attend by every way that this device has; beside them mlx-lm's model
over its ``BatchKVCache``, whose batch is one rectangle. How long a step takes is not measured here, but by ``engine.throughput``.

Goals, for every way but *rows*: operations at the most rows are at most 1.2 times those at one row and 1.3 times BatchKVCache's, and
Python's time is at most 1.3 times its. What is missed is told, and the exit code is 1 where a way misses it both as it is and compiled.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache

from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import print_rows, say
from benchmarks.harness.trial import Trial
from mlxd.types import AttentionWay
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.loading import LoadedModel, load
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.source import fetch_model

BLOCK_SIZE, AGED_RUNS = 16, 8
PEER = "BatchKVCache"
COMPILED = ", compiled"
POOLS = ("own", "shared", "aged")
OF_ONE_ROW, OF_PEER, PYTHON_OF_PEER = 1.2, 1.3, 1.3


@dataclass(frozen=True)
class Figure:
    """What one step took: ``operations``, and the milliseconds that Python needed of its thread at least."""

    pool: str
    way: str
    rows: int
    operations: int
    milliseconds: float


class Rig:
    """``rows`` sequences of ``tokens``, whose next token is asked for again and again. What the cache holds does not matter: zeros."""

    def __init__(self, loaded: LoadedModel, model: PagedModel, rows: int, tokens: int) -> None:
        self._loaded, self._model, self._rows, self._tokens = loaded, model, rows, tokens
        self._blocks = -(-(tokens + 1) // BLOCK_SIZE)
        model.resize(Geometry(BLOCK_SIZE, rows * self._blocks + self._blocks))
        self._caches = [BatchKVCache([0] * rows) for _ in make_prompt_cache(loaded.model)]

    def figures(self, steps: int) -> Iterator[Figure]:
        """Yields what each way takes in each kind of pool, and what mlx-lm takes beside it, in turns."""
        for pool in POOLS:
            plan = StepPlan(chunks=tuple(self._chunk(row, runs) for row, runs in enumerate(self._runs(pool))))
            yield from self._pool(pool, plan, steps)

    def _pool(self, pool: str, plan: StepPlan, steps: int) -> Iterator[Figure]:
        ways = {way.value: self._paged(plan, way) for way in self._model.ways.ways}
        ways |= {f"{way.value}{COMPILED}": self._compiled(plan, way) for way in self._model.ways.ways if way is not AttentionWay.ROWS}
        ways[PEER] = self._peer
        took: dict[str, list[float]] = {way: [] for way in ways}
        counted: dict[str, int] = {}
        for _ in range(steps + 1):
            for way, build in ways.items():
                began = time.thread_time()
                outputs = build()
                took[way].append(time.thread_time() - began)
                if way not in counted:
                    counted[way] = _operations(outputs)
                mx.eval(outputs)
                del outputs  # not while the clock runs
        for way, times in took.items():
            yield Figure(pool, way, self._rows, counted[way], min(times[1:]) * 1e3)

    def _compiled(self, plan: StepPlan, way: AttentionWay) -> Callable[[], list[mx.array]]:
        """Traces the step when it is called first."""
        plain = self._paged(plan, way)
        self._model.compile()
        steps, self._model.compiled = self._model.compiled, None

        def build() -> list[mx.array]:
            self._model.compiled = steps
            try:
                return plain()
            finally:
                self._model.compiled = None

        return build

    def _paged(self, plan: StepPlan, way: AttentionWay) -> Callable[[], list[mx.array]]:
        def build() -> list[mx.array]:
            self._model.ways.regions = Regions(usual=way, most_copied=sys.maxsize)
            return [self._model.forward(plan, mx.array([5] * self._rows)).rows, *self._model.tensors()]

        return build

    def _peer(self) -> list[mx.array]:
        """Builds mlx-lm's step, once the caches have as many tokens as ours seem to have."""
        if self._caches[0].keys is None:
            self._fill()
        for cache in self._caches:
            cache.trim(cache._idx - self._tokens)  # noqa: SLF001 - as many tokens in each step
        rows = self._loaded.model(mx.array([[5]] * self._rows), cache=self._caches)[:, -1]
        return [rows, *(tensor for cache in self._caches for tensor in (cache.keys, cache.values))]

    def _fill(self) -> None:
        for cache, layer in zip(self._caches, self._model.stores, strict=True):
            keys, values = layer.tensors()
            cache.update_and_fetch(*(mx.zeros((self._rows, one.shape[1], self._tokens, one.shape[3]), one.dtype) for one in (keys, values)))
            mx.eval(cache.keys, cache.values)

    def _chunk(self, row: int, runs: Sequence[range]) -> Chunk:
        return Chunk(str(row), self._tokens, 1, (5,), tuple(Run(run.start, run.stop) for run in runs), samples=True)

    def _runs(self, pool: str) -> Iterator[list[range]]:
        """Yields the runs of each row. Aged ones lie in pieces, those of all rows among each other."""
        shared = self._blocks * 3 // 4
        piece = -(-self._blocks // AGED_RUNS)
        for row in range(self._rows):
            first = row * self._blocks
            if pool == "own":
                yield [range(first, first + self._blocks)]
            elif pool == "shared":
                own = self._blocks - shared
                yield [range(shared), range(shared + row * own, shared + (row + 1) * own)]
            else:
                starts = [(at * self._rows + row) * piece for at in range(AGED_RUNS)]
                yield [
                    range(start, start + min(piece, self._blocks - at * piece))
                    for at, start in enumerate(starts)
                    if at * piece < self._blocks
                ]


def missed(figures: Sequence[Figure]) -> dict[tuple[str, str], list[str]]:
    """Returns by pool and way, rows aside, a line for each goal that is missed."""
    by = {(one.pool, one.way, one.rows): one for one in figures}
    least, most = min(one.rows for one in figures), max(one.rows for one in figures)
    found: dict[tuple[str, str], list[str]] = {}
    for pool, way in sorted({(one.pool, one.way) for one in figures if one.way not in {PEER, AttentionWay.ROWS}}):
        one, many, peer = by[pool, way, least], by[pool, way, most], by[pool, PEER, most]
        lines = found.setdefault((pool, way), [])
        for what, value, other, goal in (
            (f"operations of {least} row", many.operations, one.operations, OF_ONE_ROW),
            (f"operations of {PEER}", many.operations, peer.operations, OF_PEER),
            (f"Python's time of {PEER}", many.milliseconds, peer.milliseconds, PYTHON_OF_PEER),
        ):
            if value > goal * other:
                lines.append(f"{pool}, {way}, {most} rows: {value / other:.2f} times the {what}, and the goal is {goal}")
    return found


def _fails(by_way: Mapping[tuple[str, str], list[str]]) -> bool:
    """Tells whether a way misses a goal in a pool both as it is and compiled."""
    return any(lines and by_way.get((pool, f"{way}{COMPILED}"), lines) for (pool, way), lines in by_way.items() if COMPILED not in way)


def _operations(outputs: list[mx.array]) -> int:
    """Returns how many nodes the graph behind the outputs has."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "graph.dot"
        mx.export_to_dot(str(path), *outputs)
        return path.read_text().count("rectangle")


def _show(figures: Sequence[Figure], rows: Sequence[int]) -> None:
    for title, cell in (
        ("operations of one decode step", lambda one: str(one.operations)),
        ("Python's time to build it, ms", lambda one: f"{one.milliseconds:.1f}"),
    ):
        lines: dict[str, list[str]] = {}
        for one in figures:
            if one.way != PEER or one.pool == POOLS[0]:
                lines.setdefault(f"{one.pool}: {one.way}" if one.way != PEER else PEER, []).append(cell(one))
        print_rows(
            f"{title} (lower is better)", ["", *(f"{count} rows" for count in rows)], [[name, *cells] for name, cells in lines.items()]
        )


def main() -> int:
    """Measures what the options ask for, and returns the exit code: 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:smollm2-135m")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--tokens", type=int, default=500, help="of each row's context")
    parser.add_argument(
        "--steps",
        type=int,
        default=7,
        help="of each kind; the one that took Python the least counts: what other processes add is no part of it",
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts: dict[str, Any] = describe()
    say(one_line(facts))
    loaded = load(fetch_model(args.model, lambda *_: None), dtype="auto", context_limit=None)
    model = proved_model(loaded, BLOCK_SIZE)
    figures: list[Figure] = []

    def work(progress: Progress) -> None:
        for rows in progress.over(args.rows, lambda rows: f"{rows} rows"):
            figures.extend(Rig(loaded, model, rows, args.tokens).figures(args.steps))

    def report() -> int:
        _show(figures, args.rows)
        by_way = missed(figures) if figures else {}
        for line in itertools.chain.from_iterable(by_way.values()):
            say(line)
        return int(_fails(by_way))

    return Trial(report, lambda: {**facts, "figures": [asdict(one) for one in figures]}, args.json).through(work)


if __name__ == "__main__":
    sys.exit(main())
