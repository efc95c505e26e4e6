"""The guide's prefix cache test, steps 1a to 1d, against mlxd's own word for it: the header x-mlxd-cache.

Prompts are sent as token ids, so that no template and no special token is shared: the one of step 1c differs from the one of 1a from
the first token on. Exit code 1 if a step fails. A hit is everything that can be reused: full blocks for a paged cache, all but the
last token for entries.

With ``--vision`` the same of pictures and films under the same words, steps 2a to 2i. They share what is before the picture, as the words
alone do with them, and nothing behind it: to find no more than that is a miss. The model is one that sees; without ``--model``, a tiny one
with random weights.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask
from benchmarks.harness.measurements import Metric
from benchmarks.harness.pictures import film_url, picture_url
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import MLXD, mlxd
from benchmarks.harness.stats import Spread, ratios
from benchmarks.harness.tables import print_rows, say

TTFT = Metric("time to first token", "ms", "lower", digits=0)
_WIDTH = 72  # of the guide's table
_TOKENS = 8  # of an answer
_QUESTION = "What is to be seen here, and what is not?"
_TINY = Path(__file__).parents[1] / "tests" / "data" / "vision" / "qwen2_vl"
_HEAD = ("=" * _WIDTH, "  LLM PREFIX CACHE TEST", "=" * _WIDTH)
_EXPECTED = (
    "  Expected behavior:",
    "    - Same prompt → cache HIT",
    "    - Different prompt → cache MISS or PREFIX_HIT (shared template tokens)",
)
_COLUMNS = (
    "  Results:",
    "  Step   | Description            | Expected | Actual     | Status",
    "  -------+------------------------+----------+------------+-------",
)


class Prompt(Protocol):
    """What a step asks. Equal ones are the same prompt."""

    def ask(self, bench: Bench, turn: int) -> Ask:
        """Returns the request, which is new in each round: in its ``turn``."""


@dataclass(frozen=True)
class Words(Prompt):
    """Token ids of a text by its number."""

    number: int

    def ask(self, bench: Bench, turn: int) -> Ask:
        text = bench.prompts.text(f"{turn} prompt {self.number}", bench.args.prompt_tokens)
        return Ask.text(bench.prompts.token_ids(text), _TOKENS)


@dataclass(frozen=True)
class Shown(Prompt):
    """Pictures by their names, under the same words."""

    names: tuple[str, ...]

    def ask(self, bench: Bench, turn: int) -> Ask:  # noqa: ARG002 - as of texts
        content = [*(self.part(f"{turn} {name}") for name in self.names), {"type": "text", "text": _QUESTION}]
        return Ask("/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}, _TOKENS)

    def part(self, name: str) -> dict[str, Any]:
        """Returns what shows one of them."""
        return {"type": "image_url", "image_url": {"url": picture_url(name)}}


@dataclass(frozen=True)
class Film(Shown):
    """Films, of which so many frames a second are looked at."""

    fps: float

    @override
    def part(self, name: str) -> dict[str, Any]:
        return {"type": "video_url", "video_url": {"url": film_url(name)}, "fps": self.fps}


@dataclass(frozen=True)
class Step:
    """One row of the table."""

    name: str
    description: str
    prompt: Prompt
    expected: str


STEPS = (
    Step("1a", "First request", Words(1), "MISS"),
    Step("1b", "Same prompt", Words(1), "HIT"),
    Step("1c", "Different prompt", Words(2), "MISS"),
    Step("1d", "Return to prompt 1", Words(1), "HIT"),
)
SEEN = (
    Step("2-", "The words alone", Shown(()), "MISS"),
    Step("2a", "Picture A", Shown(("A",)), "MISS"),
    Step("2b", "Picture A again", Shown(("A",)), "HIT"),
    Step("2c", "Picture B, same words", Shown(("B",)), "MISS"),
    Step("2d", "Pictures C and D", Shown(("C", "D")), "MISS"),
    Step("2e", "Pictures D and C", Shown(("D", "C")), "MISS"),
    Step("2f", "C and D again", Shown(("C", "D")), "HIT"),
    Step("2g", "Film, 1 frame a second", Film(("film",), 1), "MISS"),
    Step("2h", "The same film again", Film(("film",), 1), "HIT"),
    Step("2i", "Same film, 4 a second", Film(("film",), 4), "MISS"),
)


async def measure(bench: Bench, progress: Progress, rounds: list[list[Answer]]) -> None:
    """The steps on a daemon whose cache is empty, in each round with new prompts. ``rounds`` gets their answers."""
    model = bench.mlxd_model()
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name) as client:
        for number in progress.over(list(bench.rounds), lambda _: f"steps {steps_of(bench)[0].name} to {steps_of(bench)[-1].name}"):
            answers = []
            for step in steps_of(bench):
                answers.append(await client.ask(step.prompt.ask(bench, number)))
                bench.measured.add(TTFT, step.name, MLXD, 1000 * answers[-1].ttft)
                bench.measured.keep(step.name, MLXD, answers[-1:])
            rounds.append(answers)


def steps_of(bench: Bench) -> tuple[Step, ...]:
    """The steps that are asked for."""
    return SEEN if bench.args.vision else STEPS


def print_steps(model: str, steps: Sequence[Step], answers: list[Answer]) -> int:
    """As the guide prints it. How many failed."""
    shared = answers[1].cached_tokens or 0 if steps is SEEN else 0
    lines = [*_HEAD, f"  Model: {model}", *_EXPECTED, "-" * _WIDTH, *_COLUMNS]
    failed = 0
    for step, answer in zip(steps, answers, strict=True):
        found = (answer.cache or "none").upper()
        actual = "MISS" if found == "PREFIX_HIT" and answer.cached_tokens == shared else found
        failed += actual != step.expected
        status = "PASS" if actual == step.expected else "FAIL"
        lines.append(f"  {step.name:<6} | {step.description:<22} | {step.expected:<8} | {actual:<10} | {status}")
    say("\n".join([*lines, "=" * _WIDTH]))
    return failed


def report(bench: Bench, rounds: list[list[Answer]]) -> int:
    """Prints the steps of each round, and what a hit is worth; returns 1 if a step failed."""
    failed = sum(print_steps(bench.args.model, steps_of(bench), answers) for answers in rounds)
    if rounds:
        print_worth(bench, rounds[-1])
    return 1 if failed else 0


def print_worth(bench: Bench, last: list[Answer]) -> None:
    """What a hit is worth; ``last`` are the answers of the last round."""
    rows = []
    steps = steps_of(bench)
    for step, answer in zip(steps, last, strict=True):
        spread = bench.measured.spread(TTFT, step.name, MLXD)
        ours, first = (bench.measured.values(TTFT, name, MLXD) for name in (step.name, steps[0].name))
        ratio = Spread.of(ratios(ours, first))
        rows.append([step.name, str(answer.prompt_tokens), str(answer.cached_tokens), spread.text(0) if spread else "-", ratio.text(2)])
    print_rows(
        "What it is worth (median [least-most] over rounds)",
        ["Step", "prompt tokens", "of them cached", "TTFT, ms", f"/ {steps[0].name}"],
        rows,
    )
    asked = [step.prompt for step in steps]
    first, *again = next(places for prompt in asked if len(places := [at for at, one in enumerate(asked) if one == prompt]) > 1)
    same = all(last[index].text == last[first].text for index in again)
    names = " and ".join(steps[index].name for index in (first, *again))
    say(f"Answers of {names}, greedy: {'the same' if same else 'DIFFERENT'}")


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--prompt-tokens", type=int, default=200, metavar="N", help="length of both prompts")
    parser.add_argument("--vision", action="store_true", help="pictures and films instead of texts")
    parser.set_defaults(rounds=1)
    if "--vision" in sys.argv:
        parser.set_defaults(model=str(_TINY))
    rounds: list[list[Answer]] = []
    return run(parser, lambda bench, progress: measure(bench, progress, rounds), lambda bench: report(bench, rounds))


if __name__ == "__main__":
    sys.exit(main())
