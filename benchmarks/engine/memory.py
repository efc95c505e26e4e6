"""Memory of a server's processes, MiB: with the model loaded, at most while users are served, and after they have gone.

The users of a wave send prompts of 500 tokens that begin alike, and are answered with 48 tokens each. What is counted belongs to the server
alone: pages it shares with others, of libraries and files, are not in it (USS, summed over a server's processes). "loaded" is looked at
before any user of the round came; in the first round, nothing has been served but the warm-up.
"""

import argparse
import asyncio
import sys
from contextlib import suppress

from benchmarks.harness import load
from benchmarks.harness.bench import Bench
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.comparison import Comparison, Scenario
from benchmarks.harness.measurements import Metric
from benchmarks.harness.prompts import SYSTEM_TOKENS
from benchmarks.harness.servers import MLXD
from benchmarks.harness.tables import print_comparison

MEMORY = Metric("memory of the server's processes", "MiB", "lower", digits=0)
BEFORE, AFTER = "before", "after"
_POLL = 0.25  # seconds between two looks
_MIB = 2**20


def waves(bench: Bench) -> list[int]:
    """Returns the numbers of users."""
    return bench.args.memory_users or ([4] if bench.args.quick else [1, 16])


def during(users: int) -> str:
    """Returns the name of a row."""
    return f"{users} at once, at most"


def scenarios(_bench: Bench) -> list[Scenario]:
    """Returns one, of all waves."""
    return [Scenario("memory", measure)]


async def measure(bench: Bench, client: Client, number: int) -> None:
    """Adds one server's figures of one round."""
    bench.measured.add(MEMORY, BEFORE, client.name, client.memory() / _MIB)
    for users in waves(bench):
        system = bench.prompts.system(f"memory {users} {number}", bench.sized(SYSTEM_TOKENS, 100))
        asks = [Ask.chat(system, bench.prompts.question(f"memory {number} {user}"), bench.sized(48, 12)) for user in range(users)]
        bench.measured.add(MEMORY, during(users), client.name, await _most(client, asks) / _MIB)
    bench.measured.add(MEMORY, AFTER, client.name, client.memory() / _MIB)


async def _most(client: Client, asks: list[Ask]) -> int:
    """Returns the most bytes that were seen while all are served."""
    seen = [client.memory()]

    async def look() -> None:
        while True:
            seen.append(await asyncio.to_thread(client.memory))
            await asyncio.sleep(_POLL)

    looking = asyncio.create_task(look())
    try:
        await load.together(client, asks)
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
    return max(seen)


def report(bench: Bench) -> None:
    print_comparison(bench.measured, MEMORY, MLXD)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this comparison has."""
    parser.add_argument(
        "--memory-users", nargs="+", type=int, metavar="N", help="users at once in each wave (without it: 1 16, or 4 with --quick)"
    )


COMPARISON = Comparison(add_options, scenarios, report, lambda bench: max(waves(bench)))

if __name__ == "__main__":
    sys.exit(COMPARISON.main(__doc__))
