"""What it costs to move blocks of the cache together: time, and memory at the peak, in arenas of 1 GiB over 30 layers.

A move copies what a sequence's blocks hold to other slots of the same buffers. It must cost what it moves: an arena that is copied on the
way costs a thousand times as much. "apart" blocks lie alone and go to one run; "one run" are neighbours that stay neighbours. "the arenas
once" is what copying all of them takes, for comparison. Exit code 1 if a block costs more than a twentieth of that, or if the peak
grows by more than three times what a layer moves.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
import mlx.core as mx

from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import print_rows, say
from benchmarks.harness.trial import Trial
from mlxd.worker.kv.move import Move
from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.slots import Copy, Geometry, Span

BLOCK_SIZE, HEADS, DIM = 16, 3, 64  # as SmolLM2-135M
_PAGE = 16 * 1024  # bytes: allocations are rounded up to it


@dataclass(frozen=True)
class Found:
    """One row of the table; bytes and seconds."""

    blocks: int
    shape: str
    seconds: float
    peak: int
    per_layer: int

    def is_dear(self, everything: float) -> bool:
        """Whether it costs more than what it moves; ``everything`` are the seconds that all arenas take."""
        return self.seconds / self.blocks > everything / 20 or self.peak > 3 * self.per_layer + 2 * _PAGE * self.blocks

    def row(self) -> list[str]:
        """Returns the cells of its row in the table."""
        each = f"{1e3 * self.seconds / self.blocks:.2f}"
        return [
            f"{self.blocks} {self.shape}",
            f"{1e3 * self.seconds:.1f}",
            each,
            f"{self.peak / 2**20:.2f}",
            f"{self.per_layer / 2**20:.2f}",
        ]


class Rig:
    """The arenas of all layers, full."""

    def __init__(self, layers: int, size: int) -> None:
        self.blocks = size // (layers * 2 * HEADS * DIM * 4) // BLOCK_SIZE
        self.geometry = Geometry(BLOCK_SIZE, self.blocks)
        self.stores = [Arenas(self.geometry.arena_slots) for _ in range(layers)]
        batch = mx.random.uniform(shape=(1, HEADS, self.geometry.arena_slots, DIM))
        for store in self.stores:
            store.write([Span(0, 0, 0, self.geometry.arena_slots)], batch, batch)
        self.evaluate()
        del batch
        self.move(1, apart=1, rounds=1)  # whatever still shares a buffer with another array is copied now

    def evaluate(self) -> None:
        """As the step does that moves them."""
        mx.eval([tensor for store in self.stores for tensor in store.tensors()])

    def move(self, blocks: int, *, apart: int, rounds: int) -> Found:
        """Blocks that lie ``apart`` from each other, to one run."""
        source, target = tuple(range(0, blocks * apart, apart)), tuple(range(self.blocks - blocks, self.blocks))
        copy, best = Copy.of(Move(source, target), self.geometry), float("inf")
        mx.clear_cache()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        for _ in range(rounds):
            began = time.perf_counter()
            for store in self.stores:
                store.copy(copy)
            self.evaluate()
            best = min(best, time.perf_counter() - began)
        moved = 2 * blocks * BLOCK_SIZE * HEADS * DIM * 4
        return Found(blocks, "in one run" if apart == 1 else "apart", best, mx.get_peak_memory() - before, moved)

    def copy_all(self) -> float:
        """Seconds for every arena once."""
        began = time.perf_counter()
        for store in self.stores:
            mx.eval([tensor + 0 for tensor in store.tensors()])
        return time.perf_counter() - began


def main() -> int:
    """Print the table; 1 if a move costs more than what it moves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--mib", type=int, default=1024, help="of all layers' arenas together")
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts = describe()
    say(one_line(facts))
    rig = Rig(args.layers, args.mib << 20)
    everything, found = rig.copy_all(), []

    def work(progress: Progress) -> None:
        steps = [(blocks, apart) for blocks in args.blocks for apart in (2, 1)]
        for blocks, apart in progress.over(steps, lambda step: f"{step[0]} blocks"):
            found.append(rig.move(blocks, apart=apart, rounds=args.rounds))

    def report() -> int:
        columns = ["blocks moved", "ms", "ms each", "peak grew by, MiB", "a layer moves, MiB"]
        rows = [one.row() for one in found] + [[f"the arenas once ({rig.blocks} blocks)", f"{1e3 * everything:.1f}", "", "", ""]]
        print_rows(f"moving blocks, {args.layers} layers, {args.mib} MiB (lower is better)", columns, rows)
        return int(any(one.is_dear(everything) for one in found))

    return Trial(report, lambda: {**facts, "moves": [vars(one) for one in found], "arenas_once": everything}, args.json).through(work)


if __name__ == "__main__":
    sys.exit(main())
