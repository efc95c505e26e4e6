"""What grammars cost a decode step: 16 rows of which 8 have a JSON schema, against 16 without, in one process on one model.

Rounds take turns. The rows of a round have prompts of the same length and never end; a step is one pass of the paged runner, with all that
is ahead of and behind the model: masks are worked out on threads of their own, applied to the rows that have one, and each token is taken
in. "waiting" is what the engine's thread waited for masks, in a step and as a share of all; "tokens" are those of a step, fewer than its
rows where rows were left out because their masks were late. Medians over each kind's quicker half, for other work on the machine only
adds; "CPU" is the process's own time, by all its threads. Exit code 1 if the ratio of the two, for as many tokens, is above the target of
1.1. With "--schemas different" each row of each round has another, larger grammar.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
import mlx.core as mx

from benchmarks.engine.schemas import SCHEMA, different
from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import print_rows, say
from benchmarks.harness.trial import Trial
from mlxd.types import ResolvedLimits, SamplingParams, Stopping
from mlxd.wire.output_spec import JsonSchema, OutputSpec
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, Opening
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.runtime.loading import LoadedModel, load
from mlxd.worker.runtime.paged.build import paged_runner, proved_model
from mlxd.worker.runtime.sampling.draws import Undrawn
from mlxd.worker.runtime.sampling.undrawn_rows import UndrawnRows
from mlxd.worker.runtime.source import fetch_model
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.constraints.vocabulary import open_vocabulary
from mlxd.worker.text.shapes import Shapes

TARGET = 1.1
PROMPT, BLOCK_SIZE = 24, 16  # tokens


@dataclass
class Found:
    """Seconds of the steps of one kind, those of the process in them, and those of waiting for masks."""

    steps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    tokens: int = 0

    def row(self, name: str) -> list[str]:
        """Returns the cells of its row in the table."""
        waiting, share = 1e6 * statistics.median(self.waits), 100 * sum(self.waits) / sum(self.steps)
        times = [f"{1e3 * quick(self.steps):.1f}", f"{1e3 * quick(self.cpu):.1f}"]
        return [name, str(len(self.steps)), *times, f"{waiting:.0f}", f"{share:.2f}", f"{self.tokens_of_a_step:.1f}"]

    @property
    def tokens_of_a_step(self) -> float:
        """Returns how many tokens a step had on average."""
        return self.tokens / len(self.steps)


def quick(values: list[float]) -> float:
    """Returns the median of the lower half."""
    return statistics.median(sorted(values)[: -(-len(values) // 2)])


class Waiting:
    """Counts the seconds that are waited for masks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        take = UndrawnRows.take

        def counted(rows: UndrawnRows, **how: Any) -> list[Undrawn]:
            began = time.perf_counter()
            try:
                return take(rows, **how)
            finally:
                self.seconds += time.perf_counter() - began

        UndrawnRows.take = counted  # type: ignore[method-assign, assignment]  # whoever asks for masks asks here


class Rig:
    """The paged runner of one model, and the grammars of its vocabulary."""

    def __init__(self, loaded: LoadedModel, rows: int, temperature: float) -> None:
        limits = ResolvedLimits(cache_bytes=2**30, max_sequences=rows, step_tokens=2048)
        self.runner: PagedRunner = paged_runner(loaded, proved_model(loaded, BLOCK_SIZE), limits)
        vocabulary = open_vocabulary(loaded.tokenizer, width=loaded.vocab_size, ends=loaded.end_tokens)
        self.constraints = AnswerConstraints(vocabulary, Shapes())
        self.waiting = Waiting()
        self.rows = rows
        self.temperature = temperature
        self.vocab_size = loaded.vocab_size
        self.requests = 0

    def measure(self, found: Found, *, schemas: list[dict[str, Any]], steps: int) -> None:
        """Adds the steps of one round, in which the first rows have the grammars of ``schemas``; the first steps warm up."""
        names = [self._add(schemas[row] if row < len(schemas) else None) for row in range(self.rows)]
        heard: set[str] = set()
        while len(heard) < self.rows:
            heard |= {one.id for one in self.runner.step().sampled}
        for number in range(steps + 2):
            self.waiting.seconds = 0.0
            began, cpu = time.perf_counter(), time.process_time()
            report = self.runner.step()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            if report.ended or report.failed:
                raise RuntimeError(f"a row has ended: {report.failed}")
            if number >= 2:
                found.tokens += len(report.sampled)
                found.steps.append(seconds)
                found.cpu.append(cpu)
                found.waits.append(self.waiting.seconds)
        for name in names:
            self.runner.abort(name)
        self.runner.evict_cached()
        mx.clear_cache()

    def _add(self, schema: dict[str, Any] | None) -> str:
        self.requests += 1
        name = f"request-{self.requests}"
        tokens = [1000 + (self.requests * 7919 + at * at) % (self.vocab_size - 1000) for at in range(PROMPT)]
        spec = OutputSpec() if schema is None else OutputSpec(constraint=JsonSchema(field="schema", schema=schema))
        constraint = self.constraints.of(spec, Opening.CONTENT)
        prompt = EncodedPrompt(tokens, 100_000, CacheRoot(model="x"))
        sampling = SamplingParams(temperature=self.temperature, seed=self.requests)
        stopping = Stopping(ignore_end=True)
        self.runner.add(EngineRequest(name, prompt, sampling, stopping=stopping, constraint=constraint))
        return name


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:smollm2-135m")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--constrained", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="of each kind and round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--schemas", choices=("same", "different"), default="same", help="of the rows that have one; new ones each round")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts = describe()
    say(one_line(facts))
    rig = Rig(load(fetch_model(args.model, lambda *_: None), dtype="auto", context_limit=None), args.rows, args.temperature)
    plain, mixed = Found(), Found()

    def work(progress: Progress) -> None:
        for turn in progress.over(range(args.rounds), lambda _: "without grammars, then with them"):
            numbers = range(turn * args.constrained, (turn + 1) * args.constrained)
            rig.measure(plain, schemas=[], steps=args.steps)
            rig.measure(mixed, schemas=[SCHEMA if args.schemas == "same" else different(number) for number in numbers], steps=args.steps)

    document = lambda: {**facts, "plain": plain.steps, "mixed": mixed.steps, "waiting": mixed.waits}  # noqa: E731
    return Trial(lambda: report(plain, mixed, args), document, args.json).through(work)


def report(plain: Found, mixed: Found, args: argparse.Namespace) -> int:
    """Prints the table; returns 1 if the target is missed. Without a whole round there is nothing to compare."""
    if not mixed.steps:
        return 0
    fewer = plain.tokens_of_a_step / mixed.tokens_of_a_step
    ratio, of_cpu = fewer * quick(mixed.steps) / quick(plain.steps), fewer * quick(mixed.cpu) / quick(plain.cpu)
    columns = ["rows", "steps", "ms", "CPU, ms", "waiting, µs", "%", "tokens"]
    rows = [plain.row(f"{args.rows} without a grammar"), mixed.row(f"{args.rows}, of which {args.constrained} have one")]
    print_rows(f"a decode step (lower is better); ratio {ratio:.3f}, of CPU {of_cpu:.3f}, target {TARGET}", columns, rows)
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
