"""What it costs the daemon to record an engine step with 16 rows, as a share of such a step. Claimed: less than 1 %.

The step is real: 16 users of a daemon at once, its time as the daemon's own metrics have it. The recording is the daemon's own code,
run right after that on the same machine, without a daemon around it. Microseconds per step, median over the repetitions: *step* is what
is counted once for a step; *rows* notes the progress of each row's request; *ends* is the end of a request (its metrics, its line in the
log and, with ``--traces``, its four spans) as far as a step has its share in that: a request of N tokens ends once in N steps.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Ask
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import mlxd
from benchmarks.harness.stats import microseconds
from benchmarks.harness.tables import print_rows, spread_text
from benchmarks.observability.exposition import Scraped
from mlxd.api.jobs import Jobs
from mlxd.api.trace import RequestTrace
from mlxd.config.schema import LogTable, TracingTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.telemetry import Caller
from mlxd.observability.logging import configure_logging
from mlxd.observability.metrics import Metrics
from mlxd.observability.otlp import OtlpSpans
from mlxd.types import CacheOutcome, FinishReason, SamplingParams, Timings, Usage
from mlxd.wire.events import Delta, Finished, Started
from mlxd.wire.jobs import Generate
from mlxd.wire.messages import StepStats
from mlxd.wire.parts import Text
from mlxd.wire.prompts import TextPrompt

ROWS = 16
CLAIM = 0.01
STEP = Metric("real step", "µs", "lower", digits=0)
PARTS = tuple(Metric(name, "µs", "lower") for name in ("step", "rows", "ends"))
SHARE = Metric("share", "%", "lower", digits=3)
_TIMES = 2000
_NOWHERE = "http://127.0.0.1:9/v1/traces"  # nobody listens: what sending costs is another thread's


class Untraced:
    """A ``Tracer`` of a daemon that does not trace."""

    def request_finished(self, _record: object) -> None:
        """It is in no trace."""


async def measure(bench: Bench, progress: Progress) -> None:
    """Real steps, then what recording them costs, round by round."""
    tokens = bench.sized(64, 16)
    async with mlxd([bench.mlxd_model()], bench.new_directory("mlxd")) as daemon, daemon.client("bench") as client:
        await bench.warm_up([client], ROWS)
        for number in progress.over(list(bench.rounds), lambda _: f"{ROWS} users, then what recording costs"):
            before = Scraped.parse(await daemon.admin.metrics())
            await load.together(client, [Ask.text(bench.prompts.text(f"{number} {row}", 16), tokens) for row in range(ROWS)])
            after = Scraped.parse(await daemon.admin.metrics())
            bench.measured.note(round=number, rows=after.mean_since(before, "mlxd_batch_size"))
            keep(bench, after.mean_since(before, "mlxd_step_seconds") * 1e6, tokens)


def keep(bench: Bench, step: float, tokens: int) -> None:
    """One round; ``step`` in microseconds."""
    add = bench.measured.add
    add(STEP, "mlxd", "mlxd", step)
    costs = recording(tokens, traces=bench.args.traces)
    for part, cost in zip(PARTS, costs, strict=True):
        add(part, "mlxd", "mlxd", cost)
    add(SHARE, "mlxd", "mlxd", 100 * sum(costs) / step)


def recording(tokens: int, *, traces: bool) -> tuple[float, float, float]:
    """Microseconds per step of each part."""
    metrics = Metrics(list, Ledger(0))
    metrics.add_models(["bench"])
    stats = StepStats(seconds=0.1, tokens=ROWS, rows=ROWS, prompt_tokens=0, generated_tokens=ROWS, inter_token=0.1)
    sink = OtlpSpans(TracingTable(enabled=True, endpoint=_NOWHERE)) if traces else None
    running = [begun(metrics, sink or Untraced(), str(row)) for row in range(ROWS)]
    deltas = [Delta(id=str(row), parts=[Text(text=" word")], tokens=1) for row in range(ROWS)]

    def rows() -> None:
        for trace, delta in zip(running, deltas, strict=True):
            trace.observe(0, delta)

    def ends() -> None:
        with begun(metrics, sink or Untraced(), "r") as trace:
            trace.observe(0, finished())

    with logging_to_nobody():
        step, row, end = (microseconds(work, _TIMES) for work in (lambda: metrics.step("bench", stats), rows, ends))
    return step, row, end * ROWS / tokens


def begun(metrics: Metrics, tracer: "OtlpSpans | Untraced", identity: str) -> RequestTrace:
    """A request that runs."""
    trace = RequestTrace(metrics, tracer, f"req_{identity}", "chat_completions", Caller(address="127.0.0.1", port=8000))
    trace.model = trace.requested_model = "bench"
    trace.live(identity, lambda _error: None)
    trace.submitted(Jobs(all=[Generate(id=identity, prompt=TextPrompt(text=""), sampling=SamplingParams(), max_tokens=64)]))
    trace.observe(0, Started(id=identity, prompt_tokens=500, cached_tokens=480, cache=CacheOutcome.PREFIX_HIT))
    return trace


def finished() -> Finished:
    usage, timings = Usage(prompt_tokens=500, completion_tokens=64, cached_tokens=480), Timings(queue=0.1, prefill=0.2, decode=3.0)
    return Finished(id="r", parts=[], tokens=1, reason=FinishReason.STOP, usage=usage, timings=timings)


@contextmanager
def logging_to_nobody() -> Iterator[None]:
    """Lines are made as in production, and thrown away. That nobody takes the spans is no news."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    configure_logging(LogTable(format="json", file="/dev/null"))
    try:
        yield
    finally:
        logging.getLogger().handlers.clear()


def report(bench: Bench) -> int:
    """One table; 1 if the claim does not hold."""
    spreads = {metric: bench.measured.spread(metric, "mlxd", "mlxd") for metric in (STEP, *PARTS, SHARE)}
    rows = [[f"{metric.name}, {metric.unit}", spread_text(spread, metric.digits)] for metric, spread in spreads.items()]
    print_rows(f"recording a step with {ROWS} rows (median [least-most] over rounds)", ["", bench.args.model], rows)
    share = spreads[SHARE]
    return int(share is None or share.median >= 100 * CLAIM)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--traces", action="store_true", help="with tracing switched on")
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
