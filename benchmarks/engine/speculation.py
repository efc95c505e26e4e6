"""What guessing the next tokens gains: the same greedy chats with speculation, without it, and by mlx_lm.server.

free: an answer to any question, which hardly repeats itself. story: a long one, in which a small model repeats itself. edit: a file is
written again with one name replaced. extract: fields of a few records. quote: a text, word by word. No prompt was sent before. Throughput
counts the tokens of all users together, from the first request's beginning to the last answer's end; *guesses* are the shares of those
that were accepted.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, options, peer_options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import MLXD, mlxd
from benchmarks.harness.tables import print_comparison

WITHOUT = "mlxd without"
THROUGHPUT = Metric("aggregate throughput", "tok/s", "higher")
PER_STEP = Metric("share of the answer that was guessed", "", "higher", digits=2)
TASKS = ("free", "story", "edit", "extract", "quote")
SYSTEM = "You are a helpful assistant."

_NAMES = ("Maria Schneider", "Jan de Vries", "Ada Novak", "Luis Ortega", "Emma Larsen", "Tom Baker", "Ines Moreau", "Paul Weber")
_STREETS = ("Hauptstrasse", "Keizersgracht", "High Street", "Calle Mayor", "Storgata", "Rue du Bac", "Lange Gasse", "Via Roma")
_THINGS = ("lamp", "table", "chair", "shelf", "carpet", "mirror", "desk", "clock")
_WORDS = ("total", "count", "price", "order", "index", "value", "limit", "state", "batch", "owner")
_STORIES = ("a lighthouse keeper", "two brothers and a boat", "a baker who could not sleep", "the last train of the year")
_QUESTIONS = (
    *("Why does everybody like {}?", "Explain {} to a child of ten.", "Write a letter to a friend about {}.", "What is the history of {}?"),
    *("Write a short poem about {}.", "What should a beginner know about {}?", "Describe {} to somebody who cannot see.", "Praise {}."),
    *(
        "Write a speech against {}.",
        "What will {} be like in a hundred years?",
        "Tell something surprising about {}.",
        "Compare {} with music.",
    ),
    *("Write a dialogue of two old men about {}.", "How do people in other countries think of {}?", "Write an advertisement for {}."),
)
_TOPICS = (
    *("lighthouses", "bicycles", "rain", "bread", "chess", "the moon", "tomatoes", "trains", "sleep", "weddings", "octopuses", "databases"),
    *(
        "inflation",
        "vaccines",
        "the Roman Empire",
        "autumn",
        "coffee",
        "friendship",
        "boredom",
        "the sea",
        "clocks",
        "cats",
        "good manners",
    ),
    *("maps", "volcanoes", "public libraries", "old houses", "mathematics", "the human heart", "newspapers", "gardens", "winter", "robots"),
    *("mountains", "money", "dreams", "soup", "honesty", "dancing", "bridges", "the weather", "elephants", "school", "letters", "silence"),
)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    task: str
    users: int

    @property
    def name(self) -> str:
        """Returns the name of the row."""
        return f"{self.task}, {self.users} at once"

    def asks(self, bench: Bench, number: int) -> list[Ask]:
        """The same for every server in a round, others in the next."""
        return [ask(self.task, f"{self.name} {number} {user}", bench.sized(128, 16)) for user in range(self.users)]

    async def measure(self, bench: Bench, client: Client, number: int) -> None:
        """Adds one server's figures of one round."""
        answers = await load.together(client, self.asks(bench, number))
        bench.measured.add(THROUGHPUT, self.name, client.name, load.throughput(answers))
        if client.name == MLXD:
            bench.measured.add(PER_STEP, self.name, client.name, _guessed(answers))
        bench.measured.keep(self.name, client.name, answers)


def levels(bench: Bench) -> list[int]:
    """Returns the numbers of users."""
    return bench.args.users or ([1, 2] if bench.args.quick else [1, 2, 5, 8, 16])


async def measure(bench: Bench, progress: Progress) -> None:
    """All servers run at once; rounds take turns."""
    model = bench.mlxd_model()
    models = [
        model.with_table("speculation", kind="auto", **({"draft": bench.args.draft} if bench.args.draft else {})).named("guessing"),
        model.with_table("speculation", kind="off").named("plain"),
    ]
    cases = [Case(task, users) for users in levels(bench) for task in bench.args.tasks]
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(mlxd(models, bench.new_directory("mlxd")))
        clients = [await stack.enter_async_context(daemon.client(name, shown)) for name, shown in (("guessing", MLXD), ("plain", WITHOUT))]
        clients += [await stack.enter_async_context(peer) for peer in bench.peers()]
        await bench.warm_up(clients, max(levels(bench)))
        turns = [(number, case, client) for number in bench.rounds for case in cases for client in bench.in_turn(clients, number)]
        for number, case, client in progress.over(turns, lambda turn: f"{turn[1].name}: {turn[2].name}"):
            await case.measure(bench, client, number)


def report(bench: Bench) -> int:
    print_comparison(bench.measured, THROUGHPUT, MLXD)
    print_comparison(bench.measured, PER_STEP, MLXD)
    return 0


def _guessed(answers: Sequence[Answer]) -> float:
    details = [(answer.usage or {}).get("completion_tokens_details", {}) for answer in answers]
    return float(sum(one.get("accepted_prediction_tokens", 0) for one in details)) / max(1, sum(answer.tokens for answer in answers))


def ask(task: str, seed: str, tokens: int) -> Ask:
    """Texts that the model goes on with as it is asked to, also a small one: what it has begun already, it goes on with."""
    choose = random.Random(seed)  # noqa: S311 - reproducible on purpose
    number = choose.randrange(10_000)
    if task == "free":
        return Ask.chat(SYSTEM, choose.choice(_QUESTIONS).format(choose.choice(_TOPICS)), tokens)
    if task == "story":
        return Ask.chat(SYSTEM, f"Tell story number {number}, a long one, about {choose.choice(_STORIES)}.", tokens)
    if task == "edit":
        text = _file(choose)
        return Ask.text(f"# File {number}\n{text}\n\n# The same file; the class is called Ledger now\nclass Ledger:\n    def", tokens)
    records = _records(choose)
    if task == "extract":
        head, _, phone = records.partition(":")[0].rpartition(", phone ")
        first = f"- {head.partition(' by ')[2]}: {phone}"
        return Ask.text(f"Letter {number}\n{records}\n\nNames, streets and phones of this letter, order by order:\n{first}\n-", tokens)
    return Ask.text(f'Letter {number} reads:\n"{records}"\n\nShe read it once more, word by word:\n"Order', tokens)


def _file(choose: random.Random) -> str:
    lines = ["class Counter:"]
    for word in choose.sample(_WORDS, 4):
        lines += [f"    def add_{word}(self, {word}: int) -> int:", f"        self.{word} += {word} * {choose.randrange(2, 99)}"]
        lines += [f"        return self.{word}", ""]
    return "\n".join(lines)


def _records(choose: random.Random) -> str:
    orders = [
        f"Order {choose.randrange(1000, 9999)} by {name}, {choose.choice(_STREETS)} {choose.randrange(1, 200)}, phone "
        f"{choose.randrange(100, 999)} {choose.randrange(10_000, 99_999)}: {choose.randrange(2, 9)} of {choose.choice(_THINGS)} "
        f"{choose.choice('ABCD')}-{choose.randrange(10, 99)}, to be delivered on {choose.randrange(1, 28)} May."
        for name in choose.sample(_NAMES, 3)
    ]
    return "\n".join(orders)


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    peer_options(parser)
    add_options(parser)
    return run(parser, measure, report)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this benchmark has."""
    parser.add_argument("--users", nargs="+", type=int, metavar="N", help="at once (without it: 1 2 5 8 16, or 1 2 with --quick)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="kinds of text, see above")
    parser.add_argument("--draft", metavar="SOURCE", help="a model that guesses, too")


if __name__ == "__main__":
    sys.exit(main())
