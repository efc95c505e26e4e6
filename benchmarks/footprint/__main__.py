"""Short requests, aborts and reloads for as long as one likes, and the footprint of the daemon and its workers meanwhile.

Two models: ``steady`` keeps its worker, for reloads change only what it can take while it runs; ``renewed`` gets another worker at every
third reload. A seventh of the requests are given up by the client, before or amid the answer.

It runs in pieces: each goes on with the daemon that the one before left in ``--directory``, and adds its samples to those there are.
``--end`` ends the daemon, judges, and draws. What is judged is what comes behind the first third of the samples: the median of the last
third against that of the second. Footprints are the system's own (``mlxd.footprint``). Exit code 1 where one has grown by more than 3 %
and 2 MiB.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks.footprint.drawing import draw
from benchmarks.footprint.samples import Samples
from benchmarks.footprint.subject import Subject
from benchmarks.footprint.traffic import Traffic
from mlxd.config.units import parse_duration


def main() -> int:
    """Runs a piece, or ends them all."""
    args = _arguments().parse_args()
    samples = Samples(args.directory / "samples.jsonl")
    subject = Subject(args.directory, args.model)
    if args.end:
        subject.stop()
        return _judge(samples, args.svg)
    asyncio.run(_piece(subject, samples, parse_duration(args.duration), args.users))
    print(samples.summary())
    return 0


async def _piece(subject: Subject, samples: Samples, seconds: float, users: int) -> None:
    await subject.start()
    traffic = Traffic(subject, users)
    async with traffic, asyncio.timeout(None):
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(1.0)
            samples.add(traffic.counts, await subject.footprints())


def _judge(samples: Samples, svg: Path | None) -> int:
    found = samples.verdicts()
    for one in found:
        print(one)
    if svg is not None:
        svg.parent.mkdir(parents=True, exist_ok=True)
        svg.write_text(draw(samples))
    return 0 if found and all(one.is_flat for one in found) else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.footprint", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where the daemon and the samples are from piece to piece")
    parser.add_argument("--duration", default="4m", help="of this piece")
    parser.add_argument("--model", default="builtin:smollm2-135m", help="the source of both models")
    parser.add_argument("--users", type=int, default=8, help="that ask at once")
    parser.add_argument("--end", action="store_true", help="end the daemon, judge and draw")
    parser.add_argument("--svg", type=Path, help="where to draw")
    return parser


if __name__ == "__main__":
    sys.exit(main())
