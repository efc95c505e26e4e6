"""The guide's prefix cache test, steps 1a to 1d, against mlxd's own word for it: the header x-mlxd-cache.

Prompts are sent as token ids, so that no template and no special token is shared: the one of step 1c differs from the one of 1a from
the first token on. Exit code 1 if a step fails. A hit is everything that can be reused: full blocks for a paged cache, all but the
last token for entries.
"""

import sys
from dataclasses import dataclass

from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import MLXD, mlxd
from benchmarks.harness.stats import Spread, ratios
from benchmarks.harness.tables import print_rows, say

TTFT = Metric("time to first token", "ms", "lower", digits=0)
_WIDTH = 70  # of the guide's table
_HEAD = ("=" * _WIDTH, "  LLM PREFIX CACHE TEST", "=" * _WIDTH)
_EXPECTED = (
    "  Expected behavior:",
    "    - Same prompt → cache HIT",
    "    - Different prompt → cache MISS or PREFIX_HIT (shared template tokens)",
)
_COLUMNS = (
    "  Results:",
    "  Step   | Description         | Expected | Actual | Status",
    "  -------+---------------------+----------+--------+-------",
)


@dataclass(frozen=True)
class Step:
    """One row of the table."""

    name: str
    description: str
    prompt: int
    expected: str


STEPS = (
    Step("1a", "First request", 1, "MISS"),
    Step("1b", "Same prompt", 1, "HIT"),
    Step("1c", "Different prompt", 2, "MISS"),
    Step("1d", "Return to prompt 1", 1, "HIT"),
)


async def measure(bench: Bench, progress: Progress, rounds: list[list[Answer]]) -> None:
    """The steps on a daemon whose cache is empty, in each round with new prompts. ``rounds`` gets their answers."""
    model = bench.mlxd_model()
    async with mlxd([model], bench.new_directory("mlxd")) as daemon, daemon.client(model.name) as client:
        for number in progress.over(list(bench.rounds), lambda _: "steps 1a to 1d"):
            answers = []
            for step in STEPS:
                prompt = bench.prompts.token_ids(bench.prompts.text(f"{number} prompt {step.prompt}", bench.args.prompt_tokens))
                answers.append(await client.ask(Ask.text(prompt, 8)))
                bench.measured.add(TTFT, step.name, MLXD, 1000 * answers[-1].ttft)
                bench.measured.keep(step.name, MLXD, answers[-1:])
            rounds.append(answers)


def print_steps(model: str, answers: list[Answer]) -> int:
    """As the guide prints it. How many failed."""
    lines = [*_HEAD, f"  Model: {model}", *_EXPECTED, "-" * _WIDTH, *_COLUMNS]
    failed = 0
    for step, answer in zip(STEPS, answers, strict=True):
        actual = (answer.cache or "none").upper()
        failed += actual != step.expected
        status = "PASS" if actual == step.expected else "FAIL"
        lines.append(f"  {step.name:<6} | {step.description:<19} | {step.expected:<8} | {actual:<6} | {status}")
    say("\n".join([*lines, "=" * _WIDTH]))
    return failed


def report(bench: Bench, rounds: list[list[Answer]]) -> int:
    """Prints the steps of each round, and what a hit is worth; returns 1 if a step failed."""
    failed = sum(print_steps(bench.args.model, answers) for answers in rounds)
    if rounds:
        print_worth(bench, rounds[-1])
    return 1 if failed else 0


def print_worth(bench: Bench, last: list[Answer]) -> None:
    """What a hit is worth; ``last`` are the answers of the last round."""
    rows = []
    for step, answer in zip(STEPS, last, strict=True):
        spread = bench.measured.spread(TTFT, step.name, MLXD)
        ours, first = (bench.measured.values(TTFT, name, MLXD) for name in (step.name, "1a"))
        ratio = Spread.of(ratios(ours, first))
        rows.append([step.name, str(answer.prompt_tokens), str(answer.cached_tokens), spread.text(0) if spread else "-", ratio.text(2)])
    print_rows("What it is worth (median [least-most] over rounds)", ["Step", "prompt tokens", "of them cached", "TTFT, ms", "/ 1a"], rows)
    same = len({last[index].text for index in (0, 1, 3)}) == 1
    say(f"Answers of 1a, 1b and 1d, greedy: {'the same' if same else 'DIFFERENT'}")


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--prompt-tokens", type=int, default=200, metavar="N", help="length of both prompts")
    parser.set_defaults(rounds=1)
    rounds: list[list[Answer]] = []
    return run(parser, lambda bench, progress: measure(bench, progress, rounds), lambda bench: report(bench, rounds))


if __name__ == "__main__":
    sys.exit(main())
