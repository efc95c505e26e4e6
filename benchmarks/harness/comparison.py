"""A benchmark in which every server does the same: its scenarios, which servers take in turns, and the tables of what was found."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness.bench import Bench, options, peer_options, run
from benchmarks.harness.client import Client
from benchmarks.harness.progress import Progress


@dataclass(frozen=True)
class Scenario:
    """Something every server is asked for once a round: ``measure(bench, client, round)``."""

    name: str
    measure: Callable[[Bench, Client, int], Awaitable[None]]


@dataclass(frozen=True)
class Comparison:
    """Comparisons that run in the same rounds are one as well: see ``together``."""

    add_options: Callable[[argparse.ArgumentParser], None]
    scenarios: Callable[[Bench], Sequence[Scenario]]
    report: Callable[[Bench], None]  # of what there is, be it a part of a round
    users: Callable[[Bench], int]  # at once, at most: so many warm the servers up

    def main(self, description: str | None) -> int:
        """Measures what the command line asks for, and returns the exit code."""
        parser = options(description)
        peer_options(parser)
        self.add_options(parser)
        return run(parser, self.measure, self.shown)

    async def measure(self, bench: Bench, progress: Progress) -> None:
        """All servers run at once; rounds take turns."""
        async with bench.lineup() as clients:
            await bench.warm_up(clients, self.users(bench))
            turns = [
                (number, scenario, client)
                for number in bench.rounds
                for scenario in self.scenarios(bench)
                for client in bench.in_turn(clients, number)
            ]
            for number, scenario, client in progress.over(turns, lambda turn: f"{turn[1].name}: {turn[2].name}"):
                await scenario.measure(bench, client, number)

    def shown(self, bench: Bench) -> int:
        """Prints the tables; the exit code is 0, for a comparison has no claim to fail."""
        self.report(bench)
        return 0


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """Returns one comparison of all: the same servers, and every round has the scenarios of all."""

    def add_options(parser: argparse.ArgumentParser) -> None:
        for one in comparisons:
            one.add_options(parser)

    def report(bench: Bench) -> None:
        for one in comparisons:
            one.report(bench)

    return Comparison(
        add_options,
        lambda bench: [scenario for one in comparisons for scenario in one.scenarios(bench)],
        report,
        lambda bench: max(one.users(bench) for one in comparisons),
    )
