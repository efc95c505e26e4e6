"""Aggregate tokens per second at several concurrencies, with equal, mixed and staggered requests.

equal: everybody sends a prompt of the same length and wants as many tokens, all at once. mixed: each user sends one request after the
other, prompts and answers of all lengths, so that requests join and leave all the time. staggered: the same requests, one starting
every quarter of a second whoever is still being served. No prompt was sent before. Time runs from the first request's beginning to the
last answer's end; tokens are those generated, by the servers' count.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness import load
from benchmarks.harness.bench import Bench
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.comparison import Comparison, Scenario
from benchmarks.harness.measurements import Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.tables import print_comparison, say

THROUGHPUT = Metric("aggregate throughput", "tok/s", "higher")
_INTERVAL = 0.25  # seconds between two staggered requests


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    shape: str
    users: int

    @property
    def name(self) -> str:
        """Returns the name of its row."""
        return f"{self.shape}, {self.users} at once" if self.shape != "staggered" else f"{self.shape}, {self.users} users' requests"

    async def measure(self, bench: Bench, client: Client, number: int) -> None:
        """Adds one server's figure of one round."""
        answers = await send(bench, client, self, number)
        bench.measured.add(THROUGHPUT, self.name, client.name, load.throughput(answers))
        bench.measured.keep(self.name, client.name, answers)


def levels(bench: Bench) -> list[int]:
    """Returns the numbers of users."""
    return bench.args.concurrency or ([1, 5] if bench.args.quick else [1, 2, 5, 8, 16])


def scenarios(bench: Bench) -> list[Scenario]:
    """Returns one for each shape and number of users."""
    cases = [Case(shape, users) for shape in bench.args.shapes for users in levels(bench)]
    return [Scenario(case.name, case.measure) for case in cases]


def report(bench: Bench) -> None:
    print_comparison(bench.measured, THROUGHPUT, MLXD)


async def send(bench: Bench, client: Client, case: Case, number: int) -> list[Answer]:
    """The same prompts for every server in a round, others in the next."""
    asks = equal(bench, case, number) if case.shape == "equal" else mixed(bench, case, number)
    match case.shape:
        case "staggered":
            answers = await load.staggered(client, asks, _INTERVAL)
        case "mixed":
            answers = await load.users(client, asks, case.users)
        case _:
            answers = await load.together(client, asks)
    _say_if_short(client.name, case, asks, answers)
    return answers


def equal(bench: Bench, case: Case, number: int) -> list[Ask]:
    """One request a user: 85 tokens in, 48 out."""
    return [Ask.text(bench.prompts.text(f"{case.name} {number} {user}", 85), bench.sized(48, 12)) for user in range(case.users)]


def mixed(bench: Bench, case: Case, number: int) -> list[Ask]:
    """Three requests a user (one with ``--quick``): 20 to 400 tokens in, 8 to 96 out, short ones more often than long ones."""
    choose = random.Random(f"{case.name} {number}")  # noqa: S311 - reproducible on purpose
    longest, most = bench.sized(400, 100), bench.sized(96, 16)
    asks = []
    for index in range(case.users * bench.sized(3, 1)):
        length, tokens = (round(low * (high / low) ** choose.random()) for low, high in ((20, longest), (8, most)))
        asks.append(Ask.text(bench.prompts.text(f"{case.name} {number} {index}", length), tokens))
    return asks


def _say_if_short(server: str, case: Case, asks: Sequence[Ask], answers: Sequence[Answer]) -> None:
    wanted, got = sum(ask.max_tokens for ask in asks), sum(answer.tokens for answer in answers)
    if got != wanted:
        say(f"{server}, {case.name}: {got} tokens instead of {wanted}: an answer ended early")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this comparison has."""
    parser.add_argument("--concurrency", nargs="+", type=int, metavar="N", help="users (without it: 1 2 5 8 16, or 1 5 with --quick)")
    parser.add_argument(
        "--shapes", nargs="+", choices=["equal", "mixed", "staggered"], default=["equal", "mixed"], help="kinds of load, see above"
    )


COMPARISON = Comparison(add_options, scenarios, report, lambda bench: max(levels(bench)))

if __name__ == "__main__":
    sys.exit(COMPARISON.main(__doc__))
