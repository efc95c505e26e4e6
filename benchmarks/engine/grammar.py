"""What grammars cost a decode step: 16 rows of which 8 have a JSON schema, against 16 without, in one process on one model.

Rounds take turns. The rows of a round have prompts of the same length and never end; a step is one pass of the paged runner, with all that
is ahead of and behind the model: masks are worked out on their own thread, applied to the rows that have one, and each token is taken in.
"waiting" is what the engine's thread waited for masks in a step. Medians over each kind's quicker half, for other work on the machine only
adds; "CPU" is the process's own time, by all its threads. Exit code 1 if the ratio of the two is above the target of 1.1.
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

from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.tables import print_rows, say, write_json
from mlxd.types import ResolvedLimits, SamplingParams, Stopping
from mlxd.wire.output_spec import JsonSchema, OutputSpec
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, Opening
from mlxd.worker.engine.mask_thread import NextMask
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.runtime.loading import LoadedModel, load
from mlxd.worker.runtime.paged.build import paged_runner, proved_model
from mlxd.worker.runtime.source import fetch_model
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.constraints.vocabulary import open_vocabulary
from mlxd.worker.text.shapes import Shapes

TARGET = 1.1
PROMPT, BLOCK_SIZE = 24, 16  # tokens
SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1000,
    "items": {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "minimum": 0, "maximum": 99999},
            "kind": {"enum": ["person", "company", "place"]},
            "name": {"type": "string", "maxLength": 40},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 4},
            "is_known": {"type": "boolean"},
        },
        "required": ["id", "kind", "name", "tags", "is_known"],
        "additionalProperties": False,
    },
}


@dataclass
class Found:
    """Seconds of the steps of one kind, those of the process in them, and those of waiting for masks."""

    steps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def row(self, name: str) -> list[str]:
        """Its cells."""
        waiting = 1e6 * statistics.median(self.waits)
        return [name, str(len(self.steps)), f"{1e3 * quick(self.steps):.1f}", f"{1e3 * quick(self.cpu):.1f}", f"{waiting:.0f}"]


def quick(values: list[float]) -> float:
    """Returns the median of the lower half."""
    return statistics.median(sorted(values)[: -(-len(values) // 2)])


class Waiting:
    """Counts the seconds that are waited for masks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        wait = NextMask.wait

        def counted(mask: NextMask) -> bytes | None:
            began = time.perf_counter()
            try:
                return wait(mask)
            finally:
                self.seconds += time.perf_counter() - began

        NextMask.wait = counted  # type: ignore[method-assign]  # whoever asks for a mask asks here


class Rig:
    """The paged runner of one model, and the grammars of its vocabulary."""

    def __init__(self, loaded: LoadedModel, rows: int) -> None:
        limits = ResolvedLimits(cache_bytes=2**30, max_sequences=rows, step_tokens=2048)
        self.runner: PagedRunner = paged_runner(loaded, proved_model(loaded, BLOCK_SIZE), limits)
        vocabulary = open_vocabulary(loaded.tokenizer, width=loaded.vocab_size, ends=loaded.end_tokens)
        self.constraints = AnswerConstraints(vocabulary, Shapes())
        self.waiting = Waiting()
        self.rows = rows
        self.vocab_size = loaded.vocab_size
        self.requests = 0

    def measure(self, found: Found, *, constrained: int, steps: int) -> None:
        """Adds the steps of one round, in which so many rows have a grammar; the first ones warm up."""
        names = [self._add(with_grammar=row < constrained) for row in range(self.rows)]
        sampled = 0
        while sampled < self.rows:
            sampled = len(self.runner.step().sampled)
        for number in range(steps + 2):
            self.waiting.seconds = 0.0
            began, cpu = time.perf_counter(), time.process_time()
            report = self.runner.step()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            if len(report.sampled) != self.rows:
                raise RuntimeError(f"a row has ended: {report.failed}")
            if number >= 2:
                found.steps.append(seconds)
                found.cpu.append(cpu)
                found.waits.append(self.waiting.seconds)
        for name in names:
            self.runner.abort(name)
        self.runner.evict_cached()
        mx.clear_cache()

    def _add(self, *, with_grammar: bool) -> str:
        self.requests += 1
        name = f"request-{self.requests}"
        tokens = [1000 + (self.requests * 7919 + at * at) % (self.vocab_size - 1000) for at in range(PROMPT)]
        constraint = self.constraints.of(OutputSpec(constraint=JsonSchema(field="schema", schema=SCHEMA)), Opening.CONTENT)
        prompt, sampling = EncodedPrompt(tokens, 100_000, CacheRoot(model="x")), SamplingParams(temperature=0)
        stopping = Stopping(ignore_end=True)
        self.runner.add(EngineRequest(name, prompt, sampling, stopping=stopping, constraint=constraint if with_grammar else None))
        return name


def main() -> int:
    """Print the table; 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:smollm2-135m")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--constrained", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="of each kind and round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts = describe()
    say(one_line(facts))
    rig = Rig(load(fetch_model(args.model, lambda *_: None), dtype="auto", context_limit=None), args.rows)
    plain, mixed = Found(), Found()
    for _ in range(args.rounds):
        rig.measure(plain, constrained=0, steps=args.steps)
        rig.measure(mixed, constrained=args.constrained, steps=args.steps)
    ratio, of_cpu = quick(mixed.steps) / quick(plain.steps), quick(mixed.cpu) / quick(plain.cpu)
    columns = ["rows", "steps", "ms", "CPU, ms", "waiting, µs"]
    rows = [plain.row(f"{args.rows} without a grammar"), mixed.row(f"{args.rows}, of which {args.constrained} have one")]
    print_rows(f"a decode step (lower is better); ratio {ratio:.3f}, of CPU {of_cpu:.3f}, target {TARGET}", columns, rows)
    if args.json is not None:
        write_json(args.json, {**facts, "ratio": ratio, "plain": plain.steps, "mixed": mixed.steps, "waiting": mixed.waits})
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
