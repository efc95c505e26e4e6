"""The guide's streaming tables: time to the first token and generation speed for several values of stream_interval.

One daemon serves the model once for each value. Time to the first token is to the first text that arrives, in milliseconds; the speed
is that of one stream after it, in tokens per second by the server's count; deltas are the pieces an answer came in.
"""

import sys
from contextlib import AsyncExitStack
from itertools import product
from statistics import median

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, options, peer_options, run
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import MLX_LM, MLXD, mlxd
from benchmarks.harness.tables import comparison_title, print_rows, spread_text

TTFT = Metric("time to first token", "ms", "lower", digits=0)
SPEED = Metric("generation speed of one stream", "tok/s", "higher")
DELTAS = Metric("deltas", "per answer", "lower", digits=0)


async def measure(bench: Bench, progress: Progress) -> None:
    """All servers run at once; rounds take turns."""
    async with AsyncExitStack() as stack:
        clients = await start(bench, stack)
        await bench.warm_up(clients, max(bench.args.concurrency))
        turns = [
            (number, streams, client)
            for number, streams in product(bench.rounds, bench.args.concurrency)
            for client in bench.in_turn(clients, number)
        ]
        for number, streams, client in progress.over(turns, lambda turn: f"{turn[1]} at once: {turn[2].name}"):
            await measure_round(bench, client, number, streams)


async def start(bench: Bench, stack: AsyncExitStack) -> list[Client]:
    """One daemon for all intervals, and the others."""
    values = bench.args.intervals
    models = [bench.mlxd_model().with_table("batching", stream_interval=value).named(f"every-{value}") for value in values]
    daemon = await stack.enter_async_context(mlxd(models, bench.new_directory("mlxd")))
    ours = [daemon.client(model.name, name_of(value)) for model, value in zip(models, values, strict=True)]
    clients = [await stack.enter_async_context(client) for client in ours]
    return clients + [await stack.enter_async_context(peer) for peer in bench.peers()]


def name_of(interval: int) -> str:
    """Returns the name of the row for this interval."""
    return f"{MLXD}, interval {interval}"


async def measure_round(bench: Bench, client: Client, number: int, streams: int) -> None:
    """One server, one number of streams at once."""
    scenario = f"{streams} at once"
    asks = [Ask.text(bench.prompts.text(f"{scenario} {number} {index}", 85), bench.sized(64, 21)) for index in range(streams)]
    answers = await load.together(client, asks)
    add = bench.measured.add
    add(TTFT, scenario, client.name, 1000 * median(answer.ttft for answer in answers))
    add(SPEED, scenario, client.name, median(answer.decode_rate for answer in answers))
    add(DELTAS, scenario, client.name, median(len(answer.deltas) for answer in answers))
    bench.measured.keep(scenario, client.name, answers)


def report(bench: Bench) -> int:
    """One table a metric: a row for each number of streams and server, with ratios to sending every token and to mlx_lm.server."""
    measured = bench.measured
    baselines = [server for server in (name_of(bench.args.intervals[0]), MLX_LM) if server in measured.servers()]
    columns = [bench.args.model, "", *(f"/ {server}" for server in baselines)]
    for metric in (TTFT, SPEED, DELTAS):
        rows = []
        for scenario, server in product(measured.scenarios(metric), measured.servers()):
            compared = [measured.ratio(metric, scenario, server, baseline) for baseline in baselines]
            value = spread_text(measured.spread(metric, scenario, server), metric.digits)
            rows.append([f"{scenario}: {server}", value, *(spread_text(ratio, 2) for ratio in compared)])
        print_rows(comparison_title(metric), columns, rows)
    return 0


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    peer_options(parser)
    parser.add_argument("--intervals", nargs="+", type=int, default=[1, 5, 10], metavar="N", help="values of stream_interval")
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 5], metavar="N", help="streams at once")
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
