"""KV bytes of ten users, a system prompt of 500 tokens and 200 of their own each, all in flight: not shared, shared, and shared in 8 bits.

Each figure is that of a fresh daemon, watched as ``benchmarks.kv_memory`` does, which says what they are; all prompts are computed before
answers grow long. "not shared" is measured as well: each user has another system prompt of the same length. "of not shared" compares with
it, in one round: the goal is a tenth.
"""

import sys
from dataclasses import asdict, dataclass
from itertools import product

from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Ask
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_rows, spread_text
from benchmarks.kv_memory import ALLOCATED, GROWN, HELD, IN_USE, RUNNING, Crowd, at_rest, before, keep

TOKENS = Metric("tokens", "", "higher", digits=0)

_HEARTBEAT = "50ms"
_LIMIT = "512MiB"  # of the cache
_PROMPTS_FIRST = {"step_tokens": 4096, "target_itl": "60s"}  # so that all have their first token before anyone has many
_SCENARIO = "users"


@dataclass(frozen=True)
class Way:
    """Users that share a system prompt or do not, and what their keys and values are stored as."""

    name: str
    shares: bool
    dtype: str


WAYS = (
    Way("not shared", shares=False, dtype="model"),
    Way("shared", shares=True, dtype="model"),
    Way("shared, int8", shares=True, dtype="int8"),
)


async def measure(bench: Bench, progress: Progress) -> None:
    """Measures each way on a daemon of its own."""
    ways = [way for way in WAYS if way.name in bench.args.ways]
    for number, way in progress.over(list(product(bench.rounds, ways)), lambda step: step[1].name):
        await measure_one(bench, way, number)


async def measure_one(bench: Bench, way: Way, number: int) -> None:
    """Starts a daemon, watches while all users are served, and keeps the most that was held."""
    model = bench.mlxd_model("continuous").with_table("cache", kind="paged", dtype=way.dtype, memory=_LIMIT)
    model = model.with_table("worker", heartbeat_interval=_HEARTBEAT).with_table("batching", **_PROMPTS_FIRST)
    prompts = texts(bench, way, number)
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name, way.name) as client:
        empty = await before(bench, client, daemon.admin, model.name)
        crowd = Crowd(client, daemon.admin, model.name, [Ask.text(prompt, bench.args.output_tokens) for prompt in prompts])
        await crowd.watch()
        full = await at_rest(daemon.admin, model.name, client)
        described = await daemon.admin.model(model.name)
    keep(bench, _SCENARIO, way.name, crowd)
    bench.measured.add(GROWN, _SCENARIO, way.name, (full.own - empty.own) / 2**20)
    tokens = sum(bench.prompts.length(prompt) + len(answer.deltas) for prompt, answer in zip(prompts, crowd.answers, strict=True))
    bench.measured.add(TOKENS, _SCENARIO, way.name, tokens)
    bench.measured.keep(_SCENARIO, way.name, crowd.answers)
    rest, samples = ([asdict(sample) for sample in some] for some in ((empty, full), crowd.samples))
    bench.measured.note(scenario=_SCENARIO, server=way.name, model=described, at_rest=rest, samples=samples)


def texts(bench: Bench, way: Way, number: int) -> list[str]:
    """Returns the prompts of all users."""
    args = bench.args
    systems = [bench.prompts.system(f"{number} {0 if way.shares else user}", args.system_tokens) for user in range(args.users)]
    return [f"{system} {bench.prompts.text(f'own {number} {user}', args.own_tokens)}" for user, system in enumerate(systems)]


def report(bench: Bench) -> int:
    """Prints a row for each way."""
    measured, rows = bench.measured, []
    compared = (IN_USE, ALLOCATED, GROWN)
    for way in WAYS:
        metrics = (TOKENS, RUNNING, IN_USE, HELD, ALLOCATED, GROWN)
        cells = [spread_text(measured.spread(metric, _SCENARIO, way.name), metric.digits) for metric in metrics]
        shares = [spread_text(measured.ratio(metric, _SCENARIO, way.name, WAYS[0].name), 3) for metric in compared]
        rows.append([way.name, *cells, *shares])
    names = [metric.name for metric in (TOKENS, RUNNING, IN_USE, HELD, ALLOCATED, GROWN)]
    names += [f"{metric.name}, of not shared" for metric in compared]
    print_rows(f"KV memory of {bench.args.users} users, MiB", [bench.args.model, *names], rows)
    return 0


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    names = [way.name for way in WAYS]
    parser.add_argument("--ways", nargs="+", choices=names, default=names, metavar="WAY", help="any of " + "; ".join(names))
    parser.add_argument("--users", type=int, default=10, metavar="N")
    parser.add_argument("--system-tokens", type=int, default=500, metavar="N", help="length of a system prompt")
    parser.add_argument("--own-tokens", type=int, default=180, metavar="N", help="length of what each user adds; an answer comes to that")
    parser.add_argument("--output-tokens", type=int, default=1500, metavar="N", help="of an answer at most: more than anybody waits for")
    parser.set_defaults(rounds=1)
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
