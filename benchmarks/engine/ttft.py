"""Time to the first token under a shared 500-token system prompt, in milliseconds: cold, on a hit, and ten users at once.

Time to the first token is from sending the request to the first text. cold: a system prompt nobody sent before. same prompt again:
everything is cached. other question: the system prompt is cached. ten at once, new: ten questions at the same moment under a system
prompt nobody sent before; known: ten others under the same one. p50 and p95 are over the ten, then medians are over the rounds.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.harness import load
from benchmarks.harness.bench import Bench
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.comparison import Comparison, Scenario
from benchmarks.harness.measurements import Metric
from benchmarks.harness.prompts import SYSTEM_TOKENS
from benchmarks.harness.servers import MLXD
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_comparison

TTFT = Metric("time to first token", "ms", "lower", digits=0)
GAIN = Metric("cold / cached", "times faster", "higher", digits=2)
COLD, AGAIN, OTHER = "cold", "same prompt again", "same system prompt, other question"


def scenarios(bench: Bench) -> list[Scenario]:
    """Returns both; the first has three requests, the second two waves."""
    return [Scenario("first token of one user", one_user), Scenario(f"first token of {users(bench)} users", many_users)]


def report(bench: Bench) -> None:
    print_comparison(bench.measured, TTFT, MLXD)
    print_comparison(bench.measured, GAIN, MLXD)


async def one_user(bench: Bench, client: Client, number: int) -> None:
    """One user asks three times; nothing else runs."""
    system = bench.prompts.system(f"one {number}", bench.args.system_tokens)
    found = {}
    for scenario, question in ((COLD, "first"), (AGAIN, "first"), (OTHER, "second")):
        answer = await client.ask(_ask(bench, system, f"{question} {number}"))
        found[scenario] = answer.ttft
        bench.measured.add(TTFT, scenario, client.name, 1000 * answer.ttft)
        bench.measured.keep(scenario, client.name, [answer])
    for scenario in (AGAIN, OTHER):
        bench.measured.add(GAIN, scenario, client.name, found[COLD] / found[scenario])


async def many_users(bench: Bench, client: Client, number: int) -> None:
    """All at the same moment, first with a system prompt that is new, then with it."""
    system = bench.prompts.system(f"many {number}", bench.args.system_tokens)
    for state in ("new", "known"):
        asks = [_ask(bench, system, f"{state} {number} {user}") for user in range(users(bench))]
        answers = await load.together(client, asks)
        _add_percentiles(bench, f"{users(bench)} at once, {state}", client.name, answers)


def users(bench: Bench) -> int:
    """How many ask at once."""
    return int(bench.args.users or bench.sized(10, 4))


def _ask(bench: Bench, system: str, question: str) -> Ask:
    return Ask.chat(system, bench.prompts.question(question), 8)


def _add_percentiles(bench: Bench, scenario: str, server: str, answers: Sequence[Answer]) -> None:
    waits = [1000 * answer.ttft for answer in answers]
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        bench.measured.add(TTFT, f"{scenario}: {name}", server, percentile(waits, share))
    bench.measured.keep(scenario, server, answers)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what only this comparison has."""
    parser.add_argument("--users", type=int, metavar="N", help="how many ask at once (without it: 10, or 4 with --quick)")
    parser.add_argument("--system-tokens", type=int, default=SYSTEM_TOKENS, metavar="N", help="length of the shared system prompt")


COMPARISON = Comparison(add_options, scenarios, report, users)

if __name__ == "__main__":
    sys.exit(COMPARISON.main(__doc__))
