"""KV bytes held for users who share a 500-token system prompt, while all of them are in flight: paged against entries.

Each figure is that of a fresh daemon: the most that the worker reports (admin API, ``memory.kv_bytes``) while as many requests run as
there are users. "not shared" is what the same tokens would take if every user had a copy: calculated, not measured. "MLX grew" is
the most that MLX held beyond what it held before the first request, whatever for: a check of the worker's own count.
"""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import load
from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Ask
from benchmarks.harness.measurements import Metric
from benchmarks.harness.prompts import SYSTEM_TOKENS
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_rows, say, spread_text

KV = Metric("KV held", "MiB", "lower")
GREW = Metric("MLX grew", "MiB", "lower")
COPIES = Metric("not shared", "MiB", "lower")
RUNNING = Metric("most running", "requests", "higher", digits=0)

_POLL = 0.05  # seconds between two looks
_HEARTBEAT = "50ms"  # how often the worker tells
_MIB = 2**20
_ITEM_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


async def measure(bench: Bench) -> int:
    """Each kind of cache with each number of users, on a daemon of its own."""
    for number in bench.rounds:
        for users in bench.args.users:
            for kind in bench.args.kinds:
                await measure_one(bench, kind, users, number)
    report(bench)
    return 0


async def measure_one(bench: Bench, kind: str, users: int, number: int) -> None:
    """Start, watch while all users are served, keep the most that was held."""
    model = bench.mlxd_model().with_table("cache", kind=kind).with_table("worker", heartbeat_interval=_HEARTBEAT)
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name, kind) as client:
        watch = Watch(daemon.admin, model.name)
        idle = await watch.until_known()
        watching = asyncio.create_task(watch.run())
        answers = await load.together(client, asks(bench, users, number))
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        described = await daemon.admin.model(model.name)
    full = watch.fullest()
    copies = sum(answer.prompt_tokens + answer.tokens for answer in answers) * bytes_per_token(bench.model, str(described["dtype"]))
    scenario, add = f"{users} users", bench.measured.add
    add(RUNNING, scenario, kind, full[0].running)
    add(KV, scenario, kind, max(sample.kv_bytes for sample in full) / _MIB)
    add(GREW, scenario, kind, max(sample.mlx_active_bytes - idle.mlx_active_bytes for sample in full) / _MIB)
    add(COPIES, scenario, kind, copies / _MIB)
    bench.measured.keep(scenario, kind, answers)
    bench.measured.note(scenario=scenario, server=kind, model=described, samples=[asdict(sample) for sample in watch.samples])


def asks(bench: Bench, users: int, number: int) -> list[Ask]:
    """One system prompt, a question of each user's own, and answers long enough that the first still runs when the last begins."""
    system = bench.prompts.system(str(number), bench.args.system_tokens)
    length = bench.args.output_tokens or bench.sized(96, 16)
    return [Ask.text(f"{system} {bench.prompts.text(f'{number} {user}', 20)}", length) for user in range(users)]


@dataclass(frozen=True)
class Sample:
    """One look at the worker."""

    running: int
    waiting: int
    kv_bytes: int
    mlx_active_bytes: int
    cache: dict[str, Any]


class Watch:
    """Looks at one model again and again."""

    def __init__(self, admin: Admin, model: str) -> None:
        self._admin = admin
        self._model = model
        self.samples: list[Sample] = []

    async def look(self) -> Sample:
        """As the daemon knows it from the last heartbeat."""
        shown = await self._admin.model(self._model)
        memory, requests = shown["memory"] or {}, shown["requests"]
        return Sample(
            running=requests["running"],
            waiting=requests["waiting"],
            kv_bytes=memory.get("kv_bytes", 0),
            mlx_active_bytes=memory.get("mlx_active_bytes", 0),
            cache=shown["cache"],
        )

    async def until_known(self) -> Sample:
        """A worker's first heartbeat comes a moment after it is ready."""
        while not (sample := await self.look()).mlx_active_bytes:  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(_POLL)
        return sample

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.samples.append(await self.look())
            await asyncio.sleep(_POLL)

    def fullest(self) -> list[Sample]:
        """Those in which the most requests ran; ``report`` says where that was not all of them."""
        most = max(sample.running for sample in self.samples)
        return [sample for sample in self.samples if sample.running == most]


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


def report(bench: Bench) -> None:
    """A row for each number of users."""
    measured, kinds = bench.measured, bench.args.kinds
    rows = []
    for scenario in measured.scenarios(KV):
        copies = measured.values(COPIES, scenario, kinds[0])[0]
        row = [scenario, f"{copies:.1f}"]
        for kind in kinds:
            row += cells(bench, scenario, kind, copies)
        rows.append([*row, *(spread_text(measured.ratio(KV, scenario, kinds[0], other), 2) for other in kinds[1:])])
    columns = [bench.args.model, "not shared"]
    for kind in kinds:
        columns += [f"{kind}: KV", "MLX grew", "running", "saved"]
    title = f"KV memory, MiB, {bench.args.system_tokens} tokens shared (median [least-most] over rounds)"
    print_rows(title, [*columns, *(f"{kinds[0]} / {other}" for other in kinds[1:])], rows)
    say('"running" less than the users: not all were in flight at once; longer answers (--output-tokens) keep them there.')


def cells(bench: Bench, scenario: str, kind: str, copies: float) -> list[str]:
    """One kind's figures; what is saved is a share of ``copies``."""
    spreads = [(metric, bench.measured.spread(metric, scenario, kind)) for metric in (KV, GREW, RUNNING)]
    held = bench.measured.spread(KV, scenario, kind)
    return [*(spread_text(spread, metric.digits) for metric, spread in spreads), f"{1 - held.median / copies:.0%}" if held else "-"]


def main() -> int:
    """The command line."""
    parser = options(__doc__)
    parser.add_argument("--users", nargs="+", type=int, metavar="N", help="numbers of users (without it: 1 5 10 20, or 1 5 with --quick)")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="of caches (without it: paged entries; in simple mode: entries)")
    parser.add_argument("--system-tokens", type=int, default=SYSTEM_TOKENS, metavar="N", help="length of the shared system prompt")
    parser.add_argument("--output-tokens", type=int, metavar="N", help="length of each answer (without it: 96, or 16 with --quick)")
    parser.set_defaults(rounds=1)
    return run(parser, _with_defaults)


async def _with_defaults(bench: Bench) -> int:
    args = bench.args
    args.users = args.users or ([1, 5] if args.quick else [1, 5, 10, 20])
    args.kinds = args.kinds or (["entries"] if args.config_mode == "simple" else ["paged", "entries"])
    return await measure(bench)


if __name__ == "__main__":
    sys.exit(main())
