"""The guide's first table: tokens per second of one request alone, of five at once, and the speed-up.

All prompts differ and none was sent before, so nothing is gained from a prefix cache. Tokens are counted by the servers, time runs
from the first request's beginning to the last answer's end, prompts included.
"""

import argparse
import sys

from benchmarks.harness import load
from benchmarks.harness.bench import Bench
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.comparison import Comparison, Scenario
from benchmarks.harness.measurements import Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.tables import print_comparison, print_rows

THROUGHPUT = Metric("throughput", "tok/s", "higher")
SPEEDUP = Metric("speed-up", "batch / single", "higher", digits=2)


SINGLE = "single request"


def batch(bench: Bench) -> str:
    """Returns the name of the second row."""
    return f"batch of {bench.args.batch}"


def scenarios(bench: Bench) -> list[Scenario]:
    """Returns one: the speed-up is that of two figures right after each other."""
    return [Scenario(f"{SINGLE}, then {batch(bench)}", one_then_many)]


async def one_then_many(bench: Bench, client: Client, number: int) -> None:
    """One server's two numbers, and what they say."""
    rates = []
    for scenario, size in ((SINGLE, 1), (batch(bench), bench.args.batch)):
        asks = [
            Ask.text(bench.prompts.text(f"{scenario} {number} {index}", bench.args.prompt_tokens), bench.sized(48, 12))
            for index in range(size)
        ]
        answers = await load.together(client, asks)
        rates.append(load.throughput(answers))
        bench.measured.add(THROUGHPUT, scenario, client.name, rates[-1])
        bench.measured.keep(scenario, client.name, answers)
    bench.measured.add(SPEEDUP, SPEEDUP.name, client.name, rates[1] / rates[0])


def report(bench: Bench) -> None:
    """As in the guide, and then against the others."""
    measured = bench.measured
    rows = []
    for server in measured.servers():
        spreads = [measured.spread(THROUGHPUT, scenario, server) for scenario in (SINGLE, batch(bench))]
        rates = [f"{rate.median:.1f} tok/s" if rate else "-" for rate in spreads]
        speedup = measured.spread(SPEEDUP, SPEEDUP.name, server)
        rows.append([server, *rates, f"{speedup.median:.2f}x" if speedup else "-"])
    print_rows("Continuous batching", [bench.args.model, "Single Request", f"Batch ({bench.args.batch} req)", "Speedup"], rows)
    print_comparison(measured, THROUGHPUT, MLXD)
    print_comparison(measured, SPEEDUP, MLXD)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this comparison has."""
    parser.add_argument("--batch", type=int, default=5, metavar="N", help="requests at once")
    parser.add_argument("--prompt-tokens", type=int, default=85, metavar="N", help="length of each prompt")


COMPARISON = Comparison(add_options, scenarios, report, lambda bench: int(bench.args.batch))

if __name__ == "__main__":
    sys.exit(COMPARISON.main(__doc__))
