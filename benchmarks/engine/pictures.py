"""What a running stream feels while a large picture is encoded for somebody else, and what ten users save who show the same one.

A stream runs; once it has its pace, a question about a picture arrives. Gaps are the milliseconds between two arrivals of the stream's
text: "alone" before the picture was sent, "beside" from then to the first token of the answer about it. Exit code 1 where one of these
is longer than three times ``batching.target_itl``. Then ten users ask about one picture at once: it is encoded once.

Without ``--model`` it is one with random weights, which takes its time to see and says nothing of meaning.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from benchmarks.engine.long_prompt import gaps_around, until_pieces
from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.measurements import Metric
from benchmarks.harness.pictures import picture_url
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import MLXD, mlxd
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_rows

GAP = Metric("gaps of the stream", "ms", "lower", digits=0)
FIRST = Metric("time to the first token about a picture", "s", "lower", digits=2)
ENCODED = Metric("pictures encoded", "of ten shown", "lower", digits=0)
_TIMES = 3  # target_itl
_USERS = 10


async def measure(bench: Bench, progress: Progress) -> None:
    """Both, on a daemon that has seen nothing yet."""
    model = bench.mlxd_model()
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name) as client:
        await client.ask(_about("warm", bench))
        for number in progress.over(list(bench.rounds), lambda _: "a picture beside a stream, then ten users"):
            await beside(bench, client, number)
            before = await encoded(daemon.admin, model.name)
            answers = await asyncio.gather(*(client.ask(_about(f"shared {number}", bench, user)) for user in range(_USERS)))
            bench.measured.add(ENCODED, "by ten users", MLXD, await encoded(daemon.admin, model.name) - before)
            for answer in answers:
                bench.measured.add(FIRST, "ten users at once", MLXD, answer.ttft)


async def encoded(admin: Admin, model: str) -> int:
    """How many pictures it has encoded. What a worker is asked to forget comes with its figures."""
    await admin.evict(model)
    return int((await admin.model(model))["cache"]["media"]["encoded"])


async def beside(bench: Bench, client: Client, number: int) -> None:
    """The stream, then the picture; the stream is hung up on when the picture's question has been answered."""
    stream = Answer()
    words = {"messages": [{"role": "user", "content": f"Stream {number}, go on."}], "logit_bias": _ENDLESS}
    running = asyncio.create_task(client.ask(Ask("/v1/chat/completions", words, 3000), stream))
    try:
        await until_pieces(stream, running, 24)
        sent = time.perf_counter()
        answer = await client.ask(_about(f"beside {number}", bench))
        await until_pieces(stream, running, len(stream.deltas) + 2)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    alone, during = gaps_around(stream, sent, answer.began + answer.ttft)
    if not during:
        raise BenchmarkError("the stream had ended when the picture came")
    for name, gaps in (("alone", alone), ("beside", during)):
        bench.measured.add(GAP, f"{name}: p50", MLXD, 1000 * percentile(gaps, 0.5))
        bench.measured.add(GAP, f"{name}: longest", MLXD, 1000 * max(gaps))
    bench.measured.add(FIRST, "beside a stream", MLXD, answer.ttft)
    bench.measured.keep("stream", MLXD, [stream])


def _about(name: str, bench: Bench, user: int = 0) -> Ask:
    side = bench.args.side
    shown = {"type": "image_url", "image_url": {"url": picture_url(name, side, side)}}
    content = [{"type": "text", "text": f"User {user}."}, shown, {"type": "text", "text": "What is it?"}]
    return Ask("/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}, 4)


def report(bench: Bench) -> int:
    """Prints what was found; returns 1 where the stream stood still for too long, or a picture was encoded more than once."""
    shown = [(GAP, name) for name in _GAPS] + [(FIRST, name) for name in _FIRSTS] + [(ENCODED, "by ten users")]
    spreads = [(metric, name, bench.measured.spread(metric, name, MLXD)) for metric, name in shown]
    rows = [[f"{metric.name}, {name}", metric.unit, spread.text(metric.digits)] for metric, name, spread in spreads if spread]
    print_rows(f"A picture of {bench.args.side} x {bench.args.side} pixels (median [least-most] over rounds)", ["", "", "mlxd"], rows)
    longest = bench.measured.values(GAP, "beside: longest", MLXD)
    encoded = bench.measured.values(ENCODED, "by ten users", MLXD)
    return int(any(gap > 1000 * _TIMES * bench.args.target_itl for gap in longest) or any(count > 1 for count in encoded))


_GAPS = ("alone: p50", "alone: longest", "beside: p50", "beside: longest")
_FIRSTS = ("beside a stream", "ten users at once")
_ENDLESS = {"298": -100}  # the end token of the tests' tokenizer


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--side", type=int, default=672, metavar="PIXELS", help="of the picture, which is a square")
    parser.add_argument("--target-itl", type=float, default=0.2, metavar="SECONDS", help="what gaps are held against (mlxd: --set)")
    with tempfile.TemporaryDirectory(prefix="mlxd-seeing-") as made:
        if not any(word.split("=")[0] == "--model" for word in sys.argv):
            subprocess.run([sys.executable, "-m", "benchmarks.harness.seeing_model", made], check=True)
            parser.set_defaults(model=made)
        return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
