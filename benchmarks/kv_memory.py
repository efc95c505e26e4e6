"""KV bytes of users who share a 500-token system prompt, while all of them are in flight: paged against entries.

Each figure is that of a fresh daemon. Every user streams until all have their first token; what is reported is the most within the next
second (admin API), then all hang up. In MiB:

in use: what running requests hold (``cache.used_bytes``), a block that several share counted once.
not shared: what the same tokens would take if every user had a copy; calculated, not measured. "saved" compares the two.
allocated: with what is kept for later and what is reserved (``memory.kv_bytes``). A paged cache takes memory in arenas, by
default of a sixteenth of ``cache.memory``, so this moves in large steps; ``--set cache.memory=1GiB`` makes them smaller.
MLX beyond weights: MLX's own count, whatever the memory is for; a check of the worker's.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.prompts import SYSTEM_TOKENS
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_rows, spread_text

IN_USE = Metric("in use", "MiB", "lower")
COPIES = Metric("not shared", "MiB", "lower")
ALLOCATED = Metric("allocated", "MiB", "lower")
BEYOND = Metric("MLX beyond weights", "MiB", "lower")
RUNNING = Metric("running at once", "requests", "higher", digits=0)

_POLL = 0.05  # seconds between two looks
_HOLD = 1.0  # seconds of looking while all are in flight
_HEARTBEAT = "50ms"  # how often the worker tells
_MIB = 2**20
_ITEM_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


async def measure(bench: Bench, progress: Progress) -> None:
    """Each kind of cache with each number of users, on a daemon of its own."""
    args = bench.args
    users = args.users or ([1, 3] if args.quick else [1, 5, 10, 20])
    kinds = args.kinds or (["entries"] if args.config_mode == "simple" else ["paged", "entries"])
    for number, count, kind in progress.over(list(product(bench.rounds, users, kinds)), lambda step: f"{step[1]} users: {step[2]}"):
        await measure_one(bench, kind, count, number)


async def measure_one(bench: Bench, kind: str, users: int, number: int) -> None:
    """Start, watch while all users are served, keep the most that was held."""
    model = bench.mlxd_model().with_table("cache", kind=kind).with_table("worker", heartbeat_interval=_HEARTBEAT)
    prompts, scenario = texts(bench, users, number), f"{users} users"
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name, kind) as client:
        length = 16 if bench.args.config_mode == "simple" else bench.args.output_tokens  # one after another, or until all have hung up
        crowd = Crowd(client, [Ask.text(prompt, length) for prompt in prompts])
        samples = await crowd.watched(daemon.admin, model.name)
        described = await daemon.admin.model(model.name)
    tokens = sum(bench.prompts.length(prompt) + len(answer.deltas) for prompt, answer in zip(prompts, crowd.answers, strict=True))
    bench.measured.add(COPIES, scenario, kind, tokens * bytes_per_token(bench.model, str(described["dtype"])) / _MIB)
    keep(bench, scenario, kind, samples)
    bench.measured.keep(scenario, kind, crowd.answers)
    bench.measured.note(scenario=scenario, server=kind, model=described, samples=[asdict(sample) for sample in samples])


def texts(bench: Bench, users: int, number: int) -> list[str]:
    """One system prompt, and a question of each user's own."""
    system = bench.prompts.system(str(number), bench.args.system_tokens)
    return [f"{system} {bench.prompts.text(f'{number} {user}', 20)}" for user in range(users)]


@dataclass(frozen=True)
class Sample:
    """One look at the worker, as the daemon knows it from the last heartbeat."""

    running: int
    waiting: int
    memory: dict[str, int]
    cache: dict[str, Any]

    @classmethod
    async def take(cls, admin: Admin, model: str) -> "Sample":
        """Now."""
        shown = await admin.model(model)
        return cls(shown["requests"]["running"], shown["requests"]["waiting"], shown["memory"], shown["cache"])


class Crowd:
    """Users who all stream at once, and hang up once everybody has been served for a while."""

    def __init__(self, client: Client, asks: Sequence[Ask]) -> None:
        self._client = client
        self._asks = asks
        self.answers = [Answer() for _ in asks]

    async def watched(self, admin: Admin, model: str) -> list[Sample]:
        """Looks at the worker while as many users as ever are served, at best all of them."""
        streams = [asyncio.create_task(self._client.ask(ask, answer)) for ask, answer in zip(self._asks, self.answers, strict=True)]
        samples = []
        left = round(_HOLD / _POLL)
        try:
            while left and not all(stream.done() for stream in streams):
                left -= all(answer.deltas for answer in self.answers)
                samples.append(await Sample.take(admin, model))
                await asyncio.sleep(_POLL)
            for stream in streams:
                if stream.done():
                    stream.result()  # raises what it raised
        finally:
            await _hang_up(streams)
        most = max(sample.running for sample in samples)
        return [sample for sample in samples if sample.running == most]


async def _hang_up(streams: "Sequence[asyncio.Task[Answer]]") -> None:
    for stream in streams:
        stream.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*streams, return_exceptions=True)


def keep(bench: Bench, scenario: str, kind: str, samples: Sequence[Sample]) -> None:
    """The most of each."""
    add = bench.measured.add
    add(RUNNING, scenario, kind, samples[0].running)
    add(IN_USE, scenario, kind, max(sample.cache["used_bytes"] for sample in samples) / _MIB)
    add(ALLOCATED, scenario, kind, max(sample.memory["kv_bytes"] for sample in samples) / _MIB)
    beyond = max(sample.memory["mlx_active_bytes"] - sample.memory["weights_bytes"] for sample in samples)
    add(BEYOND, scenario, kind, beyond / _MIB)


def bytes_per_token(model: Path, dtype: str) -> float:
    """K and V of all layers. Right for models with one kind of attention; NaN for configurations that do not say."""
    config = json.loads((model / "config.json").read_text())
    config = config.get("text_config") or config
    try:
        heads = config.get("num_key_value_heads") or config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        return float(2 * config["num_hidden_layers"] * heads * width * _ITEM_SIZES[dtype])
    except KeyError:
        return float("nan")


def report(bench: Bench) -> int:
    """Prints a row for each number of users and kind of cache. Without what compares, where not all users were in flight."""
    measured = bench.measured
    first, *others = measured.servers() or [""]
    metrics = (COPIES, IN_USE, ALLOCATED, BEYOND, RUNNING)
    rows = []
    for scenario, kind in product(measured.scenarios(IN_USE), (first, *others)):
        cells = [spread_text(measured.spread(metric, scenario, kind), metric.digits) for metric in metrics]
        share = measured.ratio_of(IN_USE, COPIES, scenario, kind) if all_ran(bench, scenario, [kind]) else None
        compared = [other for other in others if kind == first and all_ran(bench, scenario, [first, other])]
        ratios = [spread_text(measured.ratio(IN_USE, scenario, first, other) if other in compared else None, 2) for other in others]
        rows.append([f"{scenario}: {kind}", *cells, f"{1 - share.median:.0%}" if share else "-", *ratios])
    columns = [bench.args.model, *(metric.name for metric in metrics), "saved", *(f"{first} / {other}, in use" for other in others)]
    print_rows(f"KV memory, MiB, {bench.args.system_tokens} tokens shared (median [least-most] over rounds)", columns, rows)
    return 0


def all_ran(bench: Bench, scenario: str, kinds: Sequence[str]) -> bool:
    """As many as there were users, in every round."""
    users = int(scenario.partition(" ")[0])
    return all(min(bench.measured.values(RUNNING, scenario, kind), default=0) == users for kind in kinds)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--users", nargs="+", type=int, metavar="N", help="numbers of users (without it: 1 5 10 20, or 1 3 with --quick)")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="of caches (without it: paged entries; in simple mode: entries)")
    parser.add_argument("--system-tokens", type=int, default=SYSTEM_TOKENS, metavar="N", help="length of the shared system prompt")
    parser.add_argument("--output-tokens", type=int, default=1500, metavar="N", help="of an answer at most: more than anybody waits for")
    parser.set_defaults(rounds=1)
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
