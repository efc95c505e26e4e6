"""An aged daemon beside a fresh one: 16 users with mixed requests, in a cache that has been full for ten minutes of mixed traffic.

Both have the same cache, too small for what came by. One daemon serves mixed requests for ten minutes (``--age``); then rounds take turns
between it and a daemon started for the round, whose cache is empty. What a full cache costs is the ratio: blocks in many pieces, evictions,
moves.
"""

import random
import sys
import time
from contextlib import AsyncExitStack

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_comparison, say

THROUGHPUT = Metric("aggregate throughput", "tok/s", "higher")
AGED, FRESH, USERS = "aged", "fresh", 16


async def measure(bench: Bench, progress: Progress) -> None:
    """Age one, then compare."""
    async with AsyncExitStack() as stack:
        aged = await _daemon(bench, stack, AGED)
        await age(bench, aged)
        turns = [(number, name) for number in bench.rounds for name in ((AGED, FRESH) if number % 2 else (FRESH, AGED))]
        for number, name in progress.over(turns, lambda turn: turn[1]):
            await _round(bench, number, aged if name == AGED else None)


def report(bench: Bench) -> int:
    print_comparison(bench.measured, THROUGHPUT, AGED)
    return 0


async def age(bench: Bench, client: Client) -> None:
    """Mixed traffic until the time is over."""
    until, batch = time.monotonic() + bench.args.age, 0
    while (left := until - time.monotonic()) > 0:
        say(f"ageing: {left:.0f} s to go")
        await load.users(client, mixed(bench, f"age {batch}"), USERS)
        batch += 1


async def _round(bench: Bench, number: int, aged: Client | None) -> None:
    async with AsyncExitStack() as stack:
        client = aged or await _daemon(bench, stack, FRESH)
        answers = await load.users(client, mixed(bench, f"round {number}"), USERS)
        bench.measured.add(THROUGHPUT, f"mixed, {USERS} at once", client.name, load.throughput(answers))
        bench.measured.keep("mixed", client.name, answers)


async def _daemon(bench: Bench, stack: AsyncExitStack, name: str) -> Client:
    model = bench.mlxd_model().with_table("cache", memory=bench.args.memory)
    daemon = await stack.enter_async_context(mlxd([model], bench.new_directory(name)))
    client = await stack.enter_async_context(daemon.client(model.name, name))
    await bench.warm_up([client], USERS)
    return client


def mixed(bench: Bench, seed: str) -> list[Ask]:
    """Three requests a user: 20 to 400 tokens in, 8 to 96 out, short ones more often than long ones."""
    choose = random.Random(seed)  # noqa: S311 - reproducible on purpose
    longest, most = bench.sized(400, 40), bench.sized(96, 9)
    asks = []
    for index in range(USERS * bench.sized(3, 1)):
        length, tokens = (round(low * (high / low) ** choose.random()) for low, high in ((20, longest), (8, most)))
        asks.append(Ask.text(bench.prompts.text(f"{seed} {index}", length), tokens))
    return asks


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--age", type=float, default=600.0, metavar="SECONDS", help="of traffic before anything is measured")
    parser.add_argument("--memory", default="512MiB", help="of the cache: so little that it is full long before")
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
