"""Whether a directory of blocks keeps to its limit, and to what was written to it, while two models' processes write, read and are killed.

Each process writes blocks whose bytes follow from their names, and reads some of those that were written before, by itself or by the ones
before it. All the while what the directory takes is looked at. Exit code 1 if it ever takes more than its limit, or if a block is read that
is not what was written; also on a disk that fills up in the middle: ``--directory`` on one smaller than ``--limit``. With a negative
``--spare`` nobody looks first whether there is room.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from benchmarks.harness.disk_usage import taken
from mlxd.disk_cache.disk_cache import DiskCache
from mlxd.disk_cache.identity import DigestMemory, Identity
from mlxd.disk_cache.tier import Spilled
from mlxd.disk_terms import DiskSettings

_SIZES = (50_000, 200_000, 700_000)  # bytes of a block
_CHAIN = 12  # blocks that leave memory together
_KNOWN = 4000  # names from which it is chosen what to write and to read
_WRONG = 3  # exit code


class _Named(Identity):
    """The identity of a model that has no weights."""

    def __init__(self, model: str) -> None:
        self._model = model

    @override
    def digest(self, memory: DigestMemory, beat: Callable[[], None]) -> bytes:
        return self._model.encode()


@dataclass
class _Seen:
    """What was seen of the directory."""

    samples: int = 0
    peak: int = 0
    kills: int = 0
    lines: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the options ask for, and returns the exit code."""
    args = _options(argv)
    if args.model:
        return _use(args)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(args.directory or made) / "blocks"
        seen, codes = _watch(args, directory)
    limit = args.limit << 20
    print("\n".join(seen.lines))
    print(f"{seen.samples} samples in {args.seconds} s, {seen.kills} processes killed: at most {seen.peak / 2**20:.1f} MiB of {args.limit}")
    return 1 if seen.peak > limit or _WRONG in codes else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.disk_limit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--limit", type=int, default=256, metavar="MIB")
    parser.add_argument("--spare", type=int, default=2**30, metavar="BYTES", help="that stay free on the disk")
    parser.add_argument("--directory", metavar="DIR", help="on which disk; default: that of temporary files")
    parser.add_argument("--kill-after", type=float, default=7.0, metavar="SECONDS", help="in the mean")
    parser.add_argument("--pause", type=float, default=0.05, metavar="SECONDS", help="of a model, between two chains that leave memory")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


# ---- the one that looks ----


def _watch(args: argparse.Namespace, directory: Path) -> tuple[_Seen, set[int]]:
    """Keeps two processes alive, and looks at the directory until time is up. Returns what was seen, and how processes ended."""
    chance, seen, codes = random.Random(1), _Seen(), set[int]()  # noqa: S311 - no secret
    running = {model: _started(args, directory, model) for model in ("one", "two")}
    until = time.monotonic() + args.seconds
    kill_at = time.monotonic() + args.kill_after
    while time.monotonic() < until:
        seen.samples += 1
        seen.peak = max(seen.peak, taken(directory))
        for model, process in list(running.items()):
            if process.poll() is not None:
                codes.add(process.returncode)
                running[model] = _started(args, directory, model)
        if time.monotonic() > kill_at:
            os.kill(running[chance.choice(list(running))].pid, signal.SIGKILL)
            seen.kills += 1
            kill_at = time.monotonic() + chance.uniform(0.2, 2 * args.kill_after)
        time.sleep(0.01)
    for process in running.values():
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=30)
        codes.add(process.returncode)
        seen.lines.append(told.strip())
    return seen, codes


def _started(args: argparse.Namespace, directory: Path, model: str) -> "subprocess.Popen[str]":
    options = [f"--limit={args.limit}", f"--spare={args.spare}", f"--directory={directory}", f"--pause={args.pause}", f"--model={model}"]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.disk_limit", *options], stdout=subprocess.PIPE, text=True)


# ---- a model ----


def _use(args: argparse.Namespace) -> int:
    """Writes and reads until it is ended, and then says what it did."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    settings = DiskSettings(path=args.directory, limit=args.limit << 20)
    cache = DiskCache(args.model, _Named(args.model), settings, queue_bytes=32 << 20, spare=args.spare)
    chance = random.Random()  # noqa: S311 - no secret
    while not ended:
        first = chance.randrange(_KNOWN)
        cache.write([_block(args.model, first + number) for number in range(_CHAIN)])
        first = chance.randrange(_KNOWN)
        for found in cache.read([_name(number) for number in range(first, first + _CHAIN)]).result():
            if not _is_right(args.model, found):
                return _WRONG
        time.sleep(args.pause)
    cache.settle(5.0)
    print(f"{args.model}: {cache.figures()}")
    cache.close()
    return 0


def _name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _block(model: str, number: int) -> Spilled:
    chance = random.Random(f"{model} {number}")  # noqa: S311 - no secret
    return Spilled(digest=_name(number), parent=b"", tokens=(number,), payload=(chance.randbytes(chance.choice(_SIZES)),))


def _is_right(model: str, found: Spilled) -> bool:
    (number,), (payload,) = found.tokens, found.payload
    expected = _block(model, number)
    return found.digest == expected.digest and bytes(payload) == expected.payload[0]


if __name__ == "__main__":
    sys.exit(main())
