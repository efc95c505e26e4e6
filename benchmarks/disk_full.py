"""Two models of one daemon keep their conversations in one directory, and in the middle the disk is full.

More conversations go on than memory has room for, so that blocks are written and read all the time; each is asked for again and again,
and has to be answered as it was the first time. From a third of the time to two thirds a file takes all that is left on the disk. What the
directory takes is looked at all the while. Exit code 1 if a request fails, if the directory takes more than its limit, if the cache is not
off while the disk is full and on again afterwards, or if more than a fiftieth of the conversations are ever answered otherwise: where two
tokens are as likely as each other, rounding decides, and that depends on how a prompt was computed.

``--directory`` is on a disk of its own, small enough to be filled: more than a GiB, for that much stays free on it as a rule.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.footprint.traffic import WORDS
from benchmarks.harness.admin import Admin
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.disk_usage import taken
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import mlxd
from benchmarks.harness.tables import print_rows, say
from mlxd.config.units import parse_duration, parse_size

_MODELS = ("one", "two")
_PHASES = ("before", "disk full", "after")
_LOOK = 0.05  # seconds
_SHOWN = 20  # faults
_TIES = 0.02  # of conversations
_CHUNK = 2**20
_MIB = 2**20


class Seen:
    """What happened in each phase."""

    def __init__(self) -> None:
        self.phase = _PHASES[0]
        self.answers = Counter[str]()
        self.cached = Counter[str]()  # tokens
        self.peak = Counter[str]()  # bytes of the directory
        self.states: dict[str, set[str]] = {phase: set() for phase in _PHASES}
        self.last: dict[str, str] = {}  # the state at the phase's end
        self.faults: list[str] = []
        self.differing: set[str] = set()  # conversations that were ever answered otherwise than first

    def fault(self, text: str) -> None:
        """Notes what must not be."""
        self.faults.append(f"{self.phase}: {text}")


class Conversations:
    """Users of one model, who ask for one of its conversations at a time."""

    def __init__(self, bench: Bench, client: Client, seen: Seen) -> None:
        self._pause = bench.args.pause
        self._prompts = [_text(f"{client.name} {number}", bench.args.words) for number in range(bench.args.conversations)]
        self._said: dict[str, str] = {}
        self._client = client
        self._seen = seen

    async def go_on(self, number: int) -> None:
        """Asks until it is cancelled."""
        chance = Random(f"{self._client.name} {number}")  # noqa: S311 - no secret
        while True:
            prompt = chance.choice(self._prompts)
            phase = self._seen.phase
            try:
                answer = await self._client.ask(Ask.text(prompt, 8))
            except BenchmarkError as error:
                self._seen.fault(str(error))
                await asyncio.sleep(1.0)
                continue
            self._seen.answers[phase] += 1
            self._seen.cached[phase] += answer.cached_tokens or 0
            if self._said.setdefault(prompt, answer.text) != answer.text:
                self._seen.differing.add(prompt)
            await asyncio.sleep(self._pause)


async def measure(seen: Seen, bench: Bench, progress: Progress) -> None:
    """One daemon, three phases."""
    directory = bench.args.directory / "blocks"
    model = bench.mlxd_model().with_table("cache", memory=bench.args.memory)
    model = model.with_table("cache.disk", path=str(directory), limit=bench.args.limit)
    async with mlxd([model.named(name) for name in _MODELS], bench.new_directory("mlxd")) as daemon:
        clients = [daemon.client(name, name) for name in _MODELS]
        async with clients[0], clients[1], _running([Conversations(bench, client, seen) for client in clients], bench.args.users):
            for phase in progress.over(_PHASES):
                seen.phase = phase
                ballast = bench.args.directory / "ballast"
                if phase == "disk full":
                    await asyncio.to_thread(_fill, ballast)
                else:
                    ballast.unlink(missing_ok=True)
                await _look(daemon.admin, seen, directory, parse_duration(bench.args.duration) / len(_PHASES))


@asynccontextmanager
async def _running(all_of_them: list[Conversations], users: int) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.go_on(number)) for one in all_of_them for number in range(users)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _text(name: str, words: int) -> str:
    return " ".join([name, *Random(name).choices(WORDS, k=words)])  # noqa: S311 - no secret


def _fill(path: Path) -> None:
    """Takes all there is, to the last byte that the disk gives."""
    size = _CHUNK
    with path.open("wb", buffering=0) as file:
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
        with suppress(OSError):
            os.fsync(file.fileno())


async def _look(admin: Admin, seen: Seen, directory: Path, seconds: float) -> None:
    until, asked = time.monotonic() + seconds, 0.0
    while time.monotonic() < until:
        seen.peak[seen.phase] = max(seen.peak[seen.phase], await asyncio.to_thread(taken, directory))
        if time.monotonic() > asked + 1.0:
            asked = time.monotonic()
            states = sorted(set((await admin.disk_states()).values()))
            seen.last[seen.phase] = " and ".join(states)
            seen.states[seen.phase].update(states)
        await asyncio.sleep(_LOOK)


def report(seen: Seen, bench: Bench) -> int:
    """Prints one table, and what must not have been."""
    columns = ["", "answers", "cached tokens", "directory at most, MiB", "the cache on disk is", "at the end"]
    rows = [_row(seen, phase) for phase in _PHASES]
    print_rows(f"two models, of which a directory of {bench.args.limit} has the blocks", columns, rows)
    faults = [*seen.faults, *_verdicts(seen, parse_size(bench.args.limit), len(_MODELS) * bench.args.conversations)]
    for fault in faults[:_SHOWN]:
        say(fault)
    return 1 if faults else 0


def _row(seen: Seen, phase: str) -> list[str]:
    states = ", ".join(sorted(seen.states[phase]))
    figures = [str(seen.answers[phase]), f"{seen.cached[phase]:,}", f"{seen.peak[phase] / _MIB:.1f}"]
    return [phase, *figures, states, seen.last.get(phase, "")]


def _verdicts(seen: Seen, limit: int, conversations: int) -> Iterator[str]:
    say(f"{len(seen.differing)} of {conversations} conversations were answered otherwise than first")
    if len(seen.differing) > _TIES * conversations:
        yield "so many are no ties"
    for phase, wanted in zip(_PHASES, ({"on"}, {"off", "read_only"}, {"on"}), strict=True):
        if seen.last.get(phase) not in wanted:
            yield f"{phase}: the cache on disk is {seen.last.get(phase)} at the end"
        if seen.peak[phase] > limit:
            yield f"{phase}: the directory took {seen.peak[phase] / _MIB:.1f} MiB"


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--directory", type=Path, required=True, metavar="DIR", help="on a disk of its own that may be filled")
    parser.add_argument("--duration", default="10m", help="of the three phases together")
    parser.add_argument("--limit", default="256MiB", help="of the directory")
    parser.add_argument("--memory", default="32MiB", help="of each model's cache in memory")
    parser.add_argument("--conversations", type=int, default=40, metavar="N", help="of each model")
    parser.add_argument("--words", type=int, default=300, metavar="N", help="of each conversation")
    parser.add_argument("--users", type=int, default=4, metavar="N", help="of each model, who ask at the same time")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="of each user, between two requests")
    seen = Seen()
    return run(parser, partial(measure, seen), partial(report, seen))


if __name__ == "__main__":
    sys.exit(main())
