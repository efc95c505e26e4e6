"""What a running stream feels while somebody else's 4,000-token prompt is computed.

A stream runs; once it has its pace, the long prompt arrives. Gaps are the milliseconds between two arrivals of the stream's text, of one
token or of several that were guessed: "alone" before the long prompt was sent, "beside" from then to the long prompt's first token, and
"alone after" once that is answered, when the stream is as long as it was beside it. They are compared with each other (stall), with
``batching.target_itl`` (the share of the time spent in gaps longer than it) and with other servers in the same round; the longest one also
with what a stream may feel: three times the target, or two and a half times what it takes alone after. What the stream's calm costs the
long prompt is its time to the first token, beside the stream and with the server to itself.
"""

import argparse
import asyncio
import sys
import time
from contextlib import suppress

from benchmarks.harness.bench import Bench
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.comparison import Comparison, Scenario
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.measurements import Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_comparison, say

GAP = Metric("gaps of the stream", "ms", "lower", digits=0)
STALL = Metric("stall", "gap beside / p50 alone", "lower")
OVER = Metric("time in gaps over target_itl", "% of the time beside", "lower", digits=0)
LONG = Metric("time to the long prompt's first token", "s", "lower", digits=2)
FELT = Metric("longest gap, of what a stream may feel", "1 is max(3 x target_itl, 2.5 x p50 alone after)", "lower", digits=2)
PACE = Metric("pace of the stream beside", "deltas/s", "higher")
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
_AFTER = 150  # pieces of the stream alone, once the long prompt is answered: ten steps with many guesses
_REST = 1.0  # seconds for a server to notice that the stream's client is gone


def scenarios(bench: Bench) -> list[Scenario]:
    """Returns both, or the first alone with ``--quick``."""
    both = [Scenario("a long prompt beside a stream", beside), Scenario("a long prompt to itself", to_itself)]
    return both[:1] if bench.args.quick else both


def report(bench: Bench) -> None:
    """Prints a table a metric."""
    for metric in (GAP, STALL, FELT, OVER, PACE, LONG):
        print_comparison(bench.measured, metric, MLXD)


async def beside(bench: Bench, client: Client, number: int) -> None:
    """The stream, then the long prompt; the stream is hung up on a while after the long prompt has been answered."""
    stream = Answer()
    length = bench.args.stream_tokens or bench.sized(3000, 60)
    running = asyncio.create_task(client.ask(Ask.text(bench.prompts.text(f"stream {number}", 85), length), stream))
    try:
        await until_pieces(stream, running, bench.sized(24, 8))
        sent = time.perf_counter()
        long = await client.ask(_long(bench, f"beside {number}"))
        await until_pieces(stream, running, len(stream.deltas) + bench.sized(_AFTER, 8))
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    record(bench, client.name, stream, sent, long)
    await asyncio.sleep(_REST)


async def to_itself(bench: Bench, client: Client, number: int) -> None:
    """What the long prompt takes with nobody beside it."""
    long = await client.ask(_long(bench, f"alone {number}"))
    bench.measured.add(LONG, "alone", client.name, long.ttft)
    bench.measured.keep("long prompt alone", client.name, [long])


async def until_pieces(stream: Answer, running: "asyncio.Task[Answer]", count: int) -> None:
    """The stream has so many pieces, or has ended. Raises what the stream raised."""
    while len(stream.deltas) < count and not running.done():  # noqa: ASYNC110 - a list has no event
        await asyncio.sleep(0.005)
    if running.done():
        running.result()


def gaps_around(stream: Answer, sent: float, first: float) -> tuple[list[float], list[float]]:
    """Returns the stream's gaps, in seconds, before something was ``sent``, and from then to its ``first`` token, edges included."""
    gaps = stream.gaps()
    return [gap.seconds for gap in gaps if gap.ended <= sent], [gap.seconds for gap in gaps if gap.ended > sent and gap.began < first]


def record(bench: Bench, server: str, stream: Answer, sent: float, long: Answer) -> None:
    """One server's numbers of one round."""
    first = long.began + long.ttft
    alone, beside_it = gaps_around(stream, sent, first)
    if not beside_it:
        raise BenchmarkError(f"{server}: the stream had ended when the long prompt came; raise --stream-tokens")
    add = bench.measured.add
    for name, share in _PERCENTILES.items():
        add(GAP, f"alone: {name}", server, 1000 * percentile(alone, share))
        add(GAP, f"beside: {name}", server, 1000 * percentile(beside_it, share))
        add(STALL, name, server, percentile(beside_it, share) / percentile(alone, 0.5))
    if after := [gap.seconds for gap in stream.gaps() if gap.began > first]:
        alone_after = percentile(after, 0.5)
        add(GAP, "alone after: p50", server, 1000 * alone_after)
        add(FELT, "longest", server, max(beside_it) / max(3 * bench.args.target_itl, 2.5 * alone_after))
    over = sum(gap for gap in beside_it if gap > bench.args.target_itl)
    add(OVER, f"over {1000 * bench.args.target_itl:.0f} ms", server, 100 * over / sum(beside_it))
    until = min(first, stream.ended or first)
    add(PACE, "beside", server, sum(sent < delta.at <= until for delta in stream.deltas) / (until - sent))
    add(LONG, "beside", server, long.ttft)
    bench.measured.keep("stream", server, [stream])
    bench.measured.keep("long prompt beside", server, [long])
    if stream.ended and stream.ended < first:
        say(f"{server}: the stream ended before the long prompt had its first token; --stream-tokens makes it longer")


def _long(bench: Bench, seed: str) -> Ask:
    return Ask.text(bench.prompts.text(f"long {seed}", bench.args.long_tokens or bench.sized(4000, 1000)), 2)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this comparison has."""
    parser.add_argument("--long-tokens", type=int, metavar="N", help="of the long prompt (without it: 4000, or 1000 with --quick)")
    parser.add_argument("--stream-tokens", type=int, metavar="N", help="of the stream at most (without it: 3000, or 60 with --quick)")
    parser.add_argument("--target-itl", type=float, default=0.2, metavar="SECONDS", help="what gaps are held against (mlxd: --set)")


COMPARISON = Comparison(add_options, scenarios, report, lambda _bench: 2)

if __name__ == "__main__":
    sys.exit(COMPARISON.main(__doc__))
