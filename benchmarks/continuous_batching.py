"""The guide's first table: tokens per second of one request alone, of five at once, and the speed-up.

All prompts differ and none was sent before, so nothing is gained from a prefix cache. Tokens are counted by the servers, time runs
from the first request's beginning to the last answer's end, prompts included.
"""

import sys

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, options, peer_options, run
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.tables import print_comparison, print_rows

THROUGHPUT = Metric("throughput", "tok/s", "higher")
SPEEDUP = Metric("speed-up", "batch / single", "higher", digits=2)


async def measure(bench: Bench) -> int:
    """Single, then the batch, server by server and round by round."""
    async with bench.lineup() as clients:
        await bench.warm_up(clients, bench.args.batch)
        for number in bench.rounds:
            for client in bench.in_turn(clients, number):
                await measure_round(bench, client, number)
    report(bench)
    return 0


async def measure_round(bench: Bench, client: Client, number: int) -> None:
    """One server's two numbers, and what they say."""
    rates = []
    for scenario, size in (("single request", 1), (f"batch of {bench.args.batch}", bench.args.batch)):
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
    measured, single, batch = bench.measured, *bench.measured.scenarios(THROUGHPUT)
    rows = []
    for server in measured.servers():
        rates = [measured.spread(THROUGHPUT, scenario, server) for scenario in (single, batch)]
        speedup = measured.spread(SPEEDUP, SPEEDUP.name, server)
        rows.append([server, *(f"{rate.median:.1f} tok/s" for rate in rates if rate), f"{speedup.median:.2f}x" if speedup else "-"])
    print_rows("Continuous batching", [bench.args.model, "Single Request", f"Batch ({bench.args.batch} req)", "Speedup"], rows)
    print_comparison(measured, THROUGHPUT, MLXD)
    print_comparison(measured, SPEEDUP, MLXD)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    peer_options(parser)
    parser.add_argument("--batch", type=int, default=5, metavar="N", help="requests at once")
    parser.add_argument("--prompt-tokens", type=int, default=85, metavar="N", help="length of each prompt")
    return run(parser, measure)


if __name__ == "__main__":
    sys.exit(main())
