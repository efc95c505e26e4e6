"""Time to the first token of a 4,000-token prompt that another process has written to disk, against computing one.

Each round starts a daemon anew, over the same directory. It is asked first for the prompt that the one before it has computed, which it
finds on disk; then, in the same daemon, for one that nobody has sent before; then for that one again, which is in memory by then. Exit code
1 if from disk takes more than 0.2 times (``--most``) as long as computing, in the median.
"""

import asyncio
import sys
from pathlib import Path

from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_rows, say, spread_text

TTFT = Metric("time to first token", "ms", "lower", digits=0)
CACHED = Metric("of these cached", "tokens", "higher", digits=0)
COMPUTED, DISK, MEMORY = "computed", "from disk", "from memory"
_OPENING = 3.0  # seconds for a directory to be opened, and the model's files to be hashed, in the background


async def measure(bench: Bench, progress: Progress) -> None:
    """One daemon more than there are rounds: the first has nothing to find."""
    directory = bench.new_directory("blocks")
    await _one(bench, directory, None, 0)
    for number in progress.over(list(bench.rounds), lambda number: f"daemon {number + 2}"):
        await _one(bench, directory, number, number + 1)


def report(bench: Bench) -> int:
    """Prints one table; judges the ratio."""
    measured, rows = bench.measured, []
    ratio = measured.ratio(TTFT, "prompt", DISK, COMPUTED)
    for name in (COMPUTED, DISK, MEMORY):
        of = measured.ratio(TTFT, "prompt", name, COMPUTED)
        spreads = (measured.spread(TTFT, "prompt", name), measured.spread(CACHED, "prompt", name))
        rows.append([name, *(spread_text(spread, 0) for spread in spreads), spread_text(of, 3)])
    print_rows(f"{bench.args.tokens} tokens", ["", TTFT.title, CACHED.title, f"of {COMPUTED}"], rows)
    if ratio is None or ratio.median > bench.args.most:
        say(f"from disk takes more than {bench.args.most} times as long as computing")
        return 1
    return 0


async def _one(bench: Bench, directory: Path, known: int | None, new: int) -> None:
    """A daemon that finds prompt ``known`` on disk, and leaves ``new`` there."""
    model = bench.mlxd_model().with_table("cache", memory=bench.args.memory)
    model = model.with_table("cache.disk", path=str(directory), limit="8GiB")
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name, "mlxd") as client:
        await bench.warm_up([client], 2)
        await asyncio.sleep(_OPENING)
        if known is not None:
            _keep(bench, DISK, await _asked(bench, client, known))
        answer = await _asked(bench, client, new)
        if known is not None:
            _keep(bench, COMPUTED, answer)
            _keep(bench, MEMORY, await _asked(bench, client, new))
        await asyncio.sleep(_OPENING)  # it is written while nobody asks for anything


async def _asked(bench: Bench, client: Client, number: int) -> Answer:
    return await client.ask(Ask.text(bench.prompts.text(f"conversation {number}", bench.sized(bench.args.tokens, 1000)), 8))


def _keep(bench: Bench, name: str, answer: Answer) -> None:
    bench.measured.add(TTFT, "prompt", name, 1000 * answer.ttft)
    bench.measured.add(CACHED, "prompt", name, answer.cached_tokens or 0)
    bench.measured.keep("prompt", name, [answer])


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--tokens", type=int, default=4000, metavar="N", help="of the prompt")
    parser.add_argument("--memory", default="512MiB", help="of the cache in memory")
    parser.add_argument("--most", type=float, default=0.2, metavar="RATIO", help="of the time that computing takes")
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
