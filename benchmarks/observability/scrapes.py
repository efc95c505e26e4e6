"""10,000 scrapes of a daemon whose model works all the time: how long each takes, and whether anything grows.

Scrapes come one after the other on one connection, as fast as they are answered; four users keep the model busy meanwhile. The daemon's
memory is its own account, ``process_resident_memory_bytes``: what it is after the first 1,000 scrapes, and what has come to it by the end.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import mlxd
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_rows, spread_text
from benchmarks.observability.exposition import Scraped

USERS = 4
SETTLED = 0.1  # of all scrapes: what is allocated once is there by then
P50 = Metric("scrape, p50", "ms", "lower", digits=2)
P99 = Metric("scrape, p99", "ms", "lower", digits=2)
SIZE = Metric("exposition", "KiB", "lower")
SERIES = Metric("series", "", "lower", digits=0)
NEW_SERIES = Metric("series that came after the first tenth", "", "lower", digits=0)
RSS = Metric("daemon's RSS after the first tenth", "MiB", "lower")
GROWTH = Metric("growth since", "MiB", "lower", digits=2)
TOKENS = Metric("tokens generated meanwhile", "", "higher", digits=0)
_METRICS = (P50, P99, SIZE, SERIES, NEW_SERIES, RSS, GROWTH, TOKENS)
_MIB = 2**20


async def measure(bench: Bench, progress: Progress) -> None:
    """A fresh daemon each round."""
    for number in progress.over(list(bench.rounds), lambda _: f"{bench.args.scrapes} scrapes"):
        async with mlxd([bench.mlxd_model()], bench.new_directory("mlxd")) as daemon, daemon.client("bench") as client:
            await bench.warm_up([client], USERS)
            async with busy(bench, client, number):
                await scrape(bench, daemon.admin)


def report(bench: Bench) -> int:
    """Prints one table; returns 1 if series came."""
    rows = [
        [f"{metric.name}, {metric.unit}".rstrip(", "), spread_text(bench.measured.spread(metric, "", "mlxd"), metric.digits)]
        for metric in _METRICS
    ]
    print_rows(f"{bench.args.scrapes} scrapes with {USERS} users", ["", bench.args.model], rows)
    return int(any(bench.measured.values(NEW_SERIES, "", "mlxd")))


@asynccontextmanager
async def busy(bench: Bench, client: Client, number: int) -> AsyncIterator[None]:
    """Everybody asks for one answer after the other."""

    async def user(name: int) -> None:
        for turn in count():
            await client.ask(Ask.text(bench.prompts.text(f"{number} {name} {turn}", 32), 32))

    users = [asyncio.create_task(user(name)) for name in range(USERS)]
    try:
        yield
        for task in users:
            if task.done():
                task.result()  # raises what it raised
    finally:
        for task in users:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*users, return_exceptions=True)


async def scrape(bench: Bench, admin: Admin) -> None:
    """One after the other; kept as one round."""
    total = bench.args.scrapes
    times: list[float] = []
    first = settled = last = await admin.metrics()
    for number in range(total):
        began = time.perf_counter()
        last = await admin.metrics()
        times.append(time.perf_counter() - began)
        if number == int(total * SETTLED):
            settled = last
    before, after = Scraped.parse(settled), Scraped.parse(last)
    rss, tokens = "process_resident_memory_bytes", "mlxd_generation_tokens_total"
    found = {
        P50: percentile(times, 0.5) * 1e3,
        P99: percentile(times, 0.99) * 1e3,
        SIZE: len(last.encode()) / 1024,
        SERIES: after.series,
        NEW_SERIES: after.series - before.series,
        RSS: before.values[rss] / _MIB,
        GROWTH: (after.values[rss] - before.values[rss]) / _MIB,
        TOKENS: after.values[tokens] - Scraped.parse(first).values[tokens],
    }
    for metric, value in found.items():
        bench.measured.add(metric, "", "mlxd", value)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--scrapes", type=int, default=10_000, metavar="N", help="of each round")
    parser.set_defaults(rounds=1)
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
