"""What large bodies do to others: how long the daemon is silent at most, and how long another model's stream stands still.

One stream of one model runs all the time, and /livez is asked every few milliseconds; a process of its own sends one body after the
other to another model. "nothing" is the same for a while without any body: what the machine and the model do by themselves. The bodies that
are answered by a token are to be compared with "a short request": two models compute then.
"""

import asyncio
import sys
import time
from asyncio.subprocess import Process
from contextlib import suppress
from itertools import islice, pairwise

import msgspec

from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.large_body import BODIES
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import Mlxd, mlxd
from benchmarks.harness.tables import print_rows, spread_text

NOTHING = "nothing"
KINDS = (NOTHING, *BODIES)
LIVEZ = Metric("longest answer of /livez", "ms", "lower", digits=0)
GAP = Metric("longest gap of the stream", "ms", "lower", digits=0)
SECONDS = Metric("until the body's answer", "s", "lower", digits=2)
STATUS = Metric("status", "", "lower", digits=0)
_METRICS = (LIVEZ, GAP, SECONDS, STATUS)
_QUIET = 2.0  # seconds of "nothing"
_PAUSE = 0.005  # seconds between two probes


class Sent(msgspec.Struct):
    """What the sending process says."""

    size: int
    status: int
    seconds: float


async def measure(bench: Bench, progress: Progress) -> None:
    """A fresh daemon each round, with two models."""
    model = bench.mlxd_model()
    steps = progress.over([kind for _ in bench.rounds for kind in KINDS])
    for _ in bench.rounds:
        async with mlxd([model, model.named("other")], bench.new_directory("mlxd")) as daemon, daemon.client("bench") as client:
            await bench.warm_up([client], 1)
            for kind in islice(steps, len(KINDS)):
                await measure_one(bench, daemon, client, kind)


def report(bench: Bench) -> int:
    """Prints a row for each body."""
    columns = ["body", *(f"{metric.name}, {metric.unit}".rstrip(", ") for metric in _METRICS)]
    measured = bench.measured
    rows = [[kind, *(spread_text(measured.spread(metric, kind, "mlxd"), metric.digits) for metric in _METRICS)] for kind in KINDS]
    print_rows(f"{bench.args.model}: beside each body", columns, rows)
    return 0


async def measure_one(bench: Bench, daemon: Mlxd, client: Client, kind: str) -> None:
    """One body, or nothing, beside a stream and the probes."""
    answer = Answer()
    stream = asyncio.create_task(client.ask(Ask.text(bench.prompts.text(kind, 32), 2_000), answer))
    try:
        while len(answer.deltas) < 5:
            await asyncio.sleep(_PAUSE)
            if stream.done():
                stream.result()
        sender = None if kind == NOTHING else await begin_sending(kind, daemon.url)
        probes: list[float] = []
        probing = asyncio.create_task(probe(daemon.admin, probes))
        began = time.perf_counter()
        sent = await asyncio.sleep(_QUIET) if sender is None else await send(sender)
        ended = time.perf_counter()
        probing.cancel()
    finally:
        stream.cancel()
        with suppress(asyncio.CancelledError, BenchmarkError):
            await stream
    before = max(delta.at for delta in answer.deltas if delta.at < began)
    times = [delta.at for delta in answer.deltas if before <= delta.at <= ended]
    add = bench.measured.add
    add(LIVEZ, kind, "mlxd", 1000 * max(probes))
    add(GAP, kind, "mlxd", 1000 * max((after - before for before, after in pairwise(times)), default=0.0))
    if sent is not None:
        add(SECONDS, kind, "mlxd", sent.seconds)
        add(STATUS, kind, "mlxd", sent.status)


async def probe(admin: Admin, times: list[float]) -> None:
    """Asks for ever; ``times`` gets the seconds of each answer."""
    while True:
        began = time.perf_counter()
        await admin.is_alive()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(_PAUSE)


async def begin_sending(kind: str, url: str) -> Process:
    """Starts the process that sends the body, and waits until it has made it: that takes the processor from everybody, too."""
    command = [sys.executable, "-m", "benchmarks.harness.large_body", kind, url]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    await process.stdout.readline()
    return process


async def send(sender: Process) -> Sent:
    """Lets the process send the body, and waits for its answer."""
    output, _ = await sender.communicate(b"go\n")
    if sender.returncode:
        raise BenchmarkError("a body could not be sent")
    return msgspec.json.decode(output, type=Sent)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    return run(options(__doc__), measure, report)


if __name__ == "__main__":
    sys.exit(main())
