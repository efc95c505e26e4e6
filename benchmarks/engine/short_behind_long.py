"""What short requests wait for their first token while somebody else's long prompt is computed.

The long prompt is sent; then ten short requests come, one every second, each with a prompt nobody sent before. Times are seconds from
sending a request to its first text: of the short ones, and of the long one, beside them and with the server to itself.
"""

import argparse
import asyncio
import sys

from benchmarks.harness import load
from benchmarks.harness.bench import Bench
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.comparison import Comparison, Scenario
from benchmarks.harness.measurements import Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_comparison

SHORT = Metric("time to a short request's first token", "s", "lower", digits=2)
LONG = Metric("time to the long prompt's first token", "s", "lower", digits=2)
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
_INTERVAL = 1.0  # seconds between two short requests, and before the first one


def scenarios(_bench: Bench) -> list[Scenario]:
    return [Scenario("short requests behind a long prompt", behind), Scenario("a long prompt to itself", alone)]


def report(bench: Bench) -> None:
    """Prints a table a metric."""
    for metric in (SHORT, LONG):
        print_comparison(bench.measured, metric, MLXD)


async def behind(bench: Bench, client: Client, number: int) -> None:
    """The long prompt, then the short ones."""
    running = asyncio.create_task(client.ask(_long(bench, f"beside {number}")))
    await asyncio.sleep(_INTERVAL)
    shorts = [_short(bench, f"{number} {user}") for user in range(bench.sized(10, 4))]
    answers = await load.staggered(client, shorts, _INTERVAL)
    long = await running
    for name, share in _PERCENTILES.items():
        bench.measured.add(SHORT, name, client.name, percentile([answer.ttft for answer in answers], share))
    bench.measured.add(LONG, "beside short ones", client.name, long.ttft)
    bench.measured.keep("short", client.name, answers)
    bench.measured.keep("long beside", client.name, [long])


async def alone(bench: Bench, client: Client, number: int) -> None:
    """What the long prompt takes with nobody beside it."""
    long = await client.ask(_long(bench, f"alone {number}"))
    bench.measured.add(LONG, "alone", client.name, long.ttft)
    bench.measured.keep("long alone", client.name, [long])


def _long(bench: Bench, seed: str) -> Ask:
    return Ask.text(bench.prompts.text(f"long {seed}", bench.args.long_tokens or bench.sized(4000, 1000)), 2)


def _short(bench: Bench, seed: str) -> Ask:
    return Ask.text(bench.prompts.text(f"short {seed}", 30), 8)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this comparison has."""
    parser.add_argument("--long-tokens", type=int, metavar="N", help="of the long prompt (without it: 4000, or 1000 with --quick)")


COMPARISON = Comparison(add_options, scenarios, report, lambda _bench: 2)

if __name__ == "__main__":
    sys.exit(COMPARISON.main(__doc__))
