"""What the check found, for people."""

from collections.abc import Mapping, Sequence

from benchmarks.engine.operations import Figure
from benchmarks.gpu.decoding import PEER, Decoding
from benchmarks.gpu.kernel_proof import Proof
from benchmarks.gpu.layer_speed import LayerSpeed
from benchmarks.gpu.sampling import Sampling
from benchmarks.harness.stats import Spread, ratios
from benchmarks.harness.tables import print_rows

_MIB = 2**20


def print_proofs(proofs: Sequence[Proof]) -> None:
    """Prints whether the kernel is right."""
    if proofs:
        columns = ["heads", "cases", "worst error, 1 being rounding", "first call, s", ""]
        print_rows("the kernel beside numpy", columns, [proof.cells() for proof in proofs])


def print_layers(layers: Sequence[LayerSpeed]) -> None:
    """Prints how fast it is."""
    if layers:
        columns = ["", "kernel, µs", "fused over a rectangle, µs", "fused / kernel", "kernel, GB/s"]
        print_rows("one layer's attention (lower is better)", columns, [layer.cells() for layer in layers])


def print_ways(ways: Mapping[str, str], compiled: Mapping[str, str]) -> None:
    """Prints what each proof said."""
    if ways:
        print_rows(
            "ways to attend", ["", "its logits", "its steps, compiled"], [[way, said, compiled.get(way, "-")] for way, said in ways.items()]
        )


def print_operations(figures: Sequence[Figure]) -> None:
    """Prints the operations of a step, which are what a GPU is asked for, where nothing is compiled."""
    counts = sorted({one.rows for one in figures})
    cells: dict[str, list[str]] = {}
    for one in sorted(figures, key=lambda one: one.rows):
        cells.setdefault(f"{one.pool}: {one.way}", []).append(str(one.operations))
    if cells:
        print_rows(
            "operations of a step (lower is better)",
            ["", *(f"{count} rows" for count in counts)],
            [[who, *of] for who, of in cells.items()],
        )


def print_decoding(decoded: Sequence[Decoding]) -> None:
    """Prints tokens per second, their ratio to mlx-lm's, and Python's time."""
    rows = []
    for tokens, count, who in _groups(decoded):
        mine = _of(decoded, tokens, count, who)
        peer = _of(decoded, tokens, count, PEER)
        speeds, others = [one.tokens_per_second for one in mine], [one.tokens_per_second for one in peer]
        ratio = ratios(speeds, others)
        python = Spread.of([one.python_milliseconds for one in mine]).text(2)
        rows.append([f"{count} rows after {tokens}: {who}", Spread.of(speeds).text(1), Spread.of(ratio).text(2) if ratio else "-", python])
    if rows:
        print_rows("decoding (higher is better, but for Python's time)", ["", "tok/s", f"/ {PEER}", "Python a step, ms"], rows)


def print_memory(decoded: Sequence[Decoding]) -> None:
    """Prints by how much the peak grows in steps: far less than the cache, where it is written in place."""
    rows = []
    for tokens, count, who in _groups(decoded):
        mine = _of(decoded, tokens, count, who)
        grown, cache = max(one.grown_bytes for one in mine), max(one.cache_bytes for one in mine)
        rows.append([f"{count} rows after {tokens}: {who}", f"{grown / _MIB:.1f}", f"{cache / _MIB:.1f}"])
    if rows:
        print_rows("memory, MiB (lower is better)", ["", "growth of the peak in steps", "keys and values"], rows)


def print_sampling(sampled: Sequence[Sampling]) -> None:
    """Prints what each kind of sampling takes."""
    counts = sorted({one.rows for one in sampled})
    cells: dict[str, list[str]] = {}
    for one in sorted(sampled, key=lambda one: one.rows):
        cells.setdefault(one.kind, []).append(f"{one.milliseconds:.2f} ({one.python_milliseconds:.2f})")
    if cells:
        columns = ["", *(f"{count} rows" for count in counts)]
        print_rows(
            "sampling a step, ms (of which Python's; lower is better)", columns, [[kind, *of_rows] for kind, of_rows in cells.items()]
        )


def _groups(decoded: Sequence[Decoding]) -> list[tuple[int, int, str]]:
    return list(dict.fromkeys((one.tokens, one.rows, one.who) for one in sorted(decoded, key=lambda one: (one.tokens, one.rows))))


def _of(decoded: Sequence[Decoding], tokens: int, rows: int, who: str) -> list[Decoding]:
    """Returns the turns in the order of their rounds."""
    return sorted((one for one in decoded if (one.tokens, one.rows, one.who) == (tokens, rows, who)), key=lambda one: one.round)
