"""What short requests wait for their first token while somebody else's long prompt is computed.

The long prompt is sent; then ten short requests come, one every second, each with a prompt nobody sent before. Times are seconds from
sending a request to its first text: of the short ones, and of the long one, beside them and with the server to itself.
"""

import asyncio
import sys
from itertools import product

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, options, peer_options, run
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_comparison

SHORT = Metric("time to a short request's first token", "s", "lower", digits=2)
LONG = Metric("time to the long prompt's first token", "s", "lower", digits=2)
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
_INTERVAL = 1.0  # seconds between two short requests, and before the first one


async def measure(bench: Bench) -> int:
    """All servers run at once; rounds take turns."""
    async with bench.lineup() as clients:
        await bench.warm_up(clients, 2)
        for number, scenario in product(bench.rounds, (behind, alone)):
            for client in bench.in_turn(clients, number):
                await scenario(bench, client, number)
    for metric in (SHORT, LONG):
        print_comparison(bench.measured, metric, MLXD)
    return 0


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


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    peer_options(parser)
    parser.add_argument("--long-tokens", type=int, metavar="N", help="of the long prompt (without it: 4000, or 1000 with --quick)")
    return run(parser, measure)


if __name__ == "__main__":
    sys.exit(main())
