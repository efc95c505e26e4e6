"""What guesses by look-up gain or lose: the same running streams with them and without, some steps each, turn by turn, in one process.

Two servers, or two rounds, differ by what else the machine does meanwhile; two turns of a second each hardly do. The ratio of each turn
with guesses to the two turns without around it is what counts; the table has its quartiles. Streams that end begin anew with another
prompt, and a step that computes a prompt is in no turn.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxd.worker.runtime.blas import load_openblas

load_openblas()

import msgspec  # noqa: E402

from benchmarks.engine.speculation import TASKS, ask  # noqa: E402
from benchmarks.harness.client import Ask  # noqa: E402
from benchmarks.harness.progress import Progress  # noqa: E402
from benchmarks.harness.stats import percentile  # noqa: E402
from benchmarks.harness.tables import print_rows  # noqa: E402
from benchmarks.harness.trial import Trial  # noqa: E402
from mlxd.types import ResolvedLimits, SamplingParams, SpeculationKind, Stopping  # noqa: E402
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt  # noqa: E402
from mlxd.worker.engine.paged_runner import PagedRunner  # noqa: E402
from mlxd.worker.engine.request import EngineRequest  # noqa: E402
from mlxd.worker.engine.runner import StepReport  # noqa: E402
from mlxd.worker.runtime.loading import LoadedModel, load  # noqa: E402
from mlxd.worker.runtime.paged.build import paged_runner, proved_model  # noqa: E402
from mlxd.worker.runtime.source import fetch_model  # noqa: E402

_BLOCK = 16
_ANSWER = 256  # tokens
_FREE = 128  # the same, of free text: a small model repeats itself behind that
_STEPS = 6  # of a turn


@dataclass
class Streams:
    """So many streams of one task, whose turns with guesses and without are ``rates``, in tokens a second."""

    task: str
    users: int
    rates: list[tuple[SpeculationKind, float]] = field(default_factory=list)
    guessed: int = 0
    tokens: int = 0

    @property
    def name(self) -> str:
        """Returns the name of the row."""
        return f"{self.task}, {self.users} at once"

    @property
    def ratios(self) -> list[float]:
        """Of each turn with guesses to those around it."""
        trios = zip(self.rates, self.rates[1:], self.rates[2:], strict=False)
        return [2 * rate / (before + after) for (_, before), (kind, rate), (_, after) in trios if kind is not SpeculationKind.OFF]

    def measure(self, runner: PagedRunner, limits: ResolvedLimits, asks: Iterator[EncodedPrompt], seconds: float) -> None:
        """Takes turns for so many seconds."""
        names, until = itertools.count(), time.monotonic() + seconds
        kinds = itertools.cycle((SpeculationKind.OFF, SpeculationKind.AUTO))
        running: set[str] = set()
        while time.monotonic() < until:
            kind = next(kinds)
            runner.reconfigure(msgspec.structs.replace(limits, speculation=kind))
            self.rates.append((kind, self._turn(runner, asks, names, running, kind)))
        for name in running:
            runner.abort(name)

    def _turn(
        self, runner: PagedRunner, asks: Iterator[EncodedPrompt], names: Iterator[int], running: set[str], kind: SpeculationKind
    ) -> float:
        steps, tokens, seconds = 0, 0, 0.0
        while steps < _STEPS:
            while len(running) < self.users:
                name = str(next(names))
                runner.add(EngineRequest(name, next(asks), SamplingParams(temperature=0), stopping=Stopping(ignore_end=True)))
                running.add(name)
            began = time.perf_counter()
            report = runner.step()
            took = time.perf_counter() - began
            running.difference_update(report.ended)
            if _is_of_streams(report, self.users):
                found = sum(len(one.tokens) for one in report.sampled)
                steps, tokens, seconds = steps + 1, tokens + found, seconds + took
                if kind is not SpeculationKind.OFF:
                    self.tokens += found
                    self.guessed += sum(one.accepted for one in report.sampled)
        return tokens / seconds


def _is_of_streams(report: StepReport, users: int) -> bool:
    """Tells whether all streams, and nobody else, got tokens by the step."""
    if report.failed:
        raise next(iter(report.failed.values()))
    return len(report.sampled) == users and not report.started and report.rows == users


def main() -> int:
    """Measures what the options ask for, and returns the exit code: 1 where some row's median is below ``--least``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", nargs="+", type=int, default=[1, 2, 5, 8, 16], metavar="N", help="at once")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["free", "story", "edit"])
    parser.add_argument("--seconds", type=float, default=40.0, help="for each row of the table")
    parser.add_argument("--least", type=float, default=0.97, help="times as many tokens a second as without that all rows must give")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results, after each row and at the end")
    args = parser.parse_args()
    found: list[Streams] = []

    def work(progress: Progress) -> None:
        loaded = load(fetch_model("builtin:smollm2-135m", lambda *_: None), dtype="auto", context_limit=None)
        model = proved_model(loaded, _BLOCK)
        for streams in progress.over([Streams(task, users) for users in args.users for task in args.tasks], lambda one: one.name):
            found.append(streams)
            limits = ResolvedLimits(cache_bytes=2**30, max_sequences=streams.users)
            streams.measure(paged_runner(loaded, model, limits), limits, _prompts(loaded, streams.task), args.seconds)

    def report() -> int:
        print_rows(
            "with guesses / without", ["streams", "median", "quartiles", "turns", "guessed"], [_row(one) for one in found if one.ratios]
        )
        return int(any(statistics.median(one.ratios) < args.least for one in found if one.ratios))

    return Trial(report, lambda: {"rows": [_document(one) for one in found]}, args.json).through(work)


def _prompts(loaded: LoadedModel, task: str) -> Iterator[EncodedPrompt]:
    length = _FREE if task == "free" else _ANSWER
    for number in itertools.count():
        yield EncodedPrompt(_tokens(loaded, ask(task, f"turns {task} {number}", length)), length, CacheRoot(model="turns"))


def _tokens(loaded: LoadedModel, asked: Ask) -> list[int]:
    tokenizer: Any = loaded.tokenizer
    if "messages" in asked.content:
        return list(tokenizer.apply_chat_template(asked.content["messages"], add_generation_prompt=True))
    return list(tokenizer.encode(asked.content["prompt"]))


def _row(streams: Streams) -> list[str]:
    ratios = streams.ratios
    quartiles = f"{percentile(ratios, 0.25):.2f}-{percentile(ratios, 0.75):.2f}"
    share = streams.guessed / max(1, streams.tokens)
    return [streams.name, f"{statistics.median(ratios):.2f}", quartiles, str(len(ratios)), f"{share:.0%}"]


def _document(streams: Streams) -> dict[str, Any]:
    return {"name": streams.name, "rates": [[kind.value, rate] for kind, rate in streams.rates], "ratios": streams.ratios}


if __name__ == "__main__":
    sys.exit(main())
