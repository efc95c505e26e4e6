"""KV bytes of users who share a system prompt, while all of them are in flight: alone with it, shared, and by entries.

Each figure is that of a fresh daemon. Every user streams until all have their first token and a second longer; what is reported is the most
while as many as ever are served. In MiB:

in use: what running requests hold (``cache.used_bytes``), a block that several share counted once.
held: with what is kept for later requests.
allocated: with what lies idle (``memory.kv_bytes``).
by the system: how much more memory of their own the server's processes have than before the users came, when one prompt of another text
had been answered and everything cached was dropped. Each time nobody has asked for anything for so long that what computing leaves
behind, hundreds of MiB of it, was given back; what the users' requests held is kept then for later ones.

``plain`` users have a system prompt of their own each, ``shared`` ones the same; ``int8`` is shared, with keys and values of 8 bits.
Exit code 1 if a paged cache had more allocated, whenever it was looked at, than 1.5 times what it held and 16 MiB.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.prompts import SYSTEM_TOKENS
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_rows, say, spread_text

IN_USE = Metric("in use", "MiB", "lower")
HELD = Metric("held", "MiB", "lower")
ALLOCATED = Metric("allocated", "MiB", "lower")
GROWN = Metric("by the system", "MiB", "lower")
IDLE = Metric("beyond 1.5 held", "MiB", "lower")
RUNNING = Metric("running at once", "requests", "higher", digits=0)

PLAIN, SHARED, INT8, ENTRIES = "plain", "shared", "int8", "entries"
TABLES: dict[str, dict[str, str]] = {
    PLAIN: {"kind": "paged"},
    SHARED: {"kind": "paged"},
    INT8: {"kind": "paged", "dtype": "int8"},
    ENTRIES: {"kind": "entries"},
}

_POLL = 0.05  # seconds between two looks
_HOLD = 1.0  # seconds of looking while all are in flight
_AFTER = 0.5  # and when all have hung up
_AT_REST = 25.0  # seconds without a request, after 20 of which a server gives back what computing left behind
_HEARTBEAT = "50ms"  # how often the worker tells
_MIB = 2**20
_MAY_LIE_IDLE = 16.0  # MiB


async def measure(bench: Bench, progress: Progress) -> None:
    """Each kind of cache with each number of users, on a daemon of its own."""
    args = bench.args
    users = args.users or ([1, 3] if args.quick else [1, 3, 10])
    kinds = args.kinds or ([ENTRIES] if args.config_mode == "simple" else [PLAIN, SHARED, ENTRIES])
    for number, count, kind in progress.over(list(product(bench.rounds, users, kinds)), lambda step: f"{step[1]} users: {step[2]}"):
        await measure_one(bench, kind, count, number)


async def measure_one(bench: Bench, kind: str, users: int, number: int) -> None:
    """Start, watch while all users are served, keep the most that was held."""
    model = bench.mlxd_model().with_table("cache", **TABLES[kind]).with_table("worker", heartbeat_interval=_HEARTBEAT)
    prompts, scenario = texts(bench, kind, users, number), f"{users} users"
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name, kind) as client:
        empty = await before(bench, client, daemon.admin, model.name)
        length = 16 if bench.args.config_mode == "simple" else bench.args.output_tokens  # one after another, or until all have hung up
        crowd = Crowd(client, daemon.admin, model.name, [Ask.text(prompt, length) for prompt in prompts])
        await crowd.watch()
        full = await at_rest(daemon.admin, model.name, client)
        described = await daemon.admin.model(model.name)
    keep(bench, scenario, kind, crowd)
    bench.measured.add(GROWN, scenario, kind, (full.own - empty.own) / _MIB)
    bench.measured.keep(scenario, kind, crowd.answers)
    rest = [asdict(sample) for sample in (empty, full)]
    bench.measured.note(scenario=scenario, server=kind, model=described, at_rest=rest, samples=[asdict(sample) for sample in crowd.samples])


async def before(bench: Bench, client: Client, admin: Admin, model: str) -> "Sample":
    """Lets a server have what it takes to answer at all, and nothing in its cache. Returns what it has then."""
    await client.ask(Ask.text(bench.prompts.system("before", bench.args.system_tokens), 8))
    await admin.evict(model)
    return await at_rest(admin, model, client)


async def at_rest(admin: Admin, model: str, client: Client) -> "Sample":
    """Returns what a server has that nobody asks for anything, once it has given back what computing left behind."""
    await asyncio.sleep(_AT_REST)
    return await Sample.take(admin, model, client)


def texts(bench: Bench, kind: str, users: int, number: int) -> list[str]:
    """A system prompt, all users' or each user's own, and a question of each user's own."""
    names = [f"{number} {user}" for user in range(users)]
    systems = [bench.prompts.system(name if kind == PLAIN else str(number), bench.args.system_tokens) for name in names]
    return [f"{system} {bench.prompts.text(name, bench.args.own_tokens)}" for system, name in zip(systems, names, strict=True)]


@dataclass(frozen=True)
class Sample:
    """One look at the worker, as the daemon knows it from the last heartbeat, and at the processes, as the system knows them."""

    running: int
    waiting: int
    memory: dict[str, int]
    cache: dict[str, Any]
    own: int  # bytes that would be free if the server ended

    @classmethod
    async def take(cls, admin: Admin, model: str, client: Client) -> "Sample":
        """Returns what holds now."""
        shown, own = await asyncio.gather(admin.model(model), asyncio.to_thread(client.memory))
        return cls(shown["requests"]["running"], shown["requests"]["waiting"], shown["memory"], shown["cache"], own)

    @property
    def used(self) -> float:
        """Returns what running requests hold, in MiB."""
        return float(self.cache["used_bytes"]) / _MIB

    @property
    def held(self) -> float:
        """Returns that and what is kept for later, in MiB."""
        return self.used + float(self.cache["cached_bytes"]) / _MIB

    @property
    def allocated(self) -> float:
        """Returns what there is memory for, in MiB."""
        return self.memory["kv_bytes"] / _MIB


class Crowd:
    """Users who all stream at once, and hang up once everybody has been served for a while. ``samples`` is what was seen meanwhile."""

    def __init__(self, client: Client, admin: Admin, model: str, asks: Sequence[Ask]) -> None:
        self._client = client
        self._admin = admin
        self._model = model
        self._asks = asks
        self.answers = [Answer() for _ in asks]
        self.samples: list[Sample] = []

    @property
    def full(self) -> list[Sample]:
        """Returns those while as many users as ever were served, at best all of them."""
        return [sample for sample in self.samples[1:] if sample.running == self.running]

    @property
    def running(self) -> int:
        """Returns how many users were served at once at most."""
        return max(sample.running for sample in self.samples)

    async def watch(self) -> None:
        """Looks at the worker before, while all are served, and when they are gone."""
        await self._look()
        streams = [asyncio.create_task(self._client.ask(ask, answer)) for ask, answer in zip(self._asks, self.answers, strict=True)]
        left = round(_HOLD / _POLL)
        try:
            while left and not all(stream.done() for stream in streams):
                left -= all(answer.deltas for answer in self.answers)
                await self._look()
            for stream in streams:
                if stream.done():
                    stream.result()  # raises what it raised
        finally:
            await _hang_up(streams)
        for _ in range(round(_AFTER / _POLL)):
            await self._look()

    async def _look(self) -> None:
        self.samples.append(await Sample.take(self._admin, self._model, self._client))
        await asyncio.sleep(_POLL)


async def _hang_up(streams: "Sequence[asyncio.Task[Answer]]") -> None:
    for stream in streams:
        stream.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*streams, return_exceptions=True)


def keep(bench: Bench, scenario: str, kind: str, crowd: Crowd) -> None:
    """The most of each."""
    add = bench.measured.add
    add(RUNNING, scenario, kind, crowd.running)
    add(IN_USE, scenario, kind, max(sample.used for sample in crowd.full))
    add(HELD, scenario, kind, max(sample.held for sample in crowd.full))
    add(ALLOCATED, scenario, kind, max(sample.allocated for sample in crowd.full))
    if kind != ENTRIES:
        add(IDLE, scenario, kind, max(sample.allocated - 1.5 * sample.held for sample in crowd.samples))


def report(bench: Bench) -> int:
    """Prints a row for each number of users and kind of cache. Without what compares, where not all users were in flight."""
    measured = bench.measured
    first, *others = measured.servers() or [""]
    metrics = (IN_USE, HELD, ALLOCATED, GROWN, IDLE, RUNNING)
    rows = []
    for scenario, kind in product(measured.scenarios(IN_USE), (first, *others)):
        cells = [spread_text(measured.spread(metric, scenario, kind), metric.digits) for metric in metrics]
        compared = kind != first and all_ran(bench, scenario, [first, kind])
        shares = [measured.ratio(metric, scenario, kind, first) if compared else None for metric in (ALLOCATED, GROWN)]
        rows.append([f"{scenario}: {kind}", *cells, *(spread_text(share, 2) for share in shares)])
    columns = [bench.args.model, *(metric.name for metric in metrics), f"allocated / {first}", f"system / {first}"]
    shared, own = bench.args.system_tokens, bench.args.own_tokens
    print_rows(f"KV memory, MiB, {shared} tokens and {own} of each user's own (median [least-most] over rounds)", columns, rows)
    idle = {kind: [value for scenario in measured.scenarios(IDLE) for value in measured.values(IDLE, scenario, kind)] for kind in TABLES}
    worst = max((value for values in idle.values() for value in values), default=0.0)
    if worst > _MAY_LIE_IDLE:
        say(f"Too much lay idle: {worst:.1f} MiB beyond 1.5 times what was held, where {_MAY_LIE_IDLE:.0f} may.")
    return int(worst > _MAY_LIE_IDLE)


def all_ran(bench: Bench, scenario: str, kinds: Sequence[str]) -> bool:
    """As many as there were users, in every round."""
    users = int(scenario.partition(" ")[0])
    return all(min(bench.measured.values(RUNNING, scenario, kind), default=0) == users for kind in kinds)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--users", nargs="+", type=int, metavar="N", help="numbers of users (without it: 1 3 10, or 1 3 with --quick)")
    parser.add_argument(
        "--kinds", nargs="+", choices=list(TABLES), help="of caches (without it: plain shared entries; in simple mode: entries)"
    )
    parser.add_argument("--system-tokens", type=int, default=SYSTEM_TOKENS, metavar="N", help="length of the system prompt")
    parser.add_argument("--own-tokens", type=int, default=200, metavar="N", help="length of each user's own question")
    parser.add_argument("--output-tokens", type=int, default=1500, metavar="N", help="of an answer at most: more than anybody waits for")
    parser.set_defaults(rounds=1)
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
