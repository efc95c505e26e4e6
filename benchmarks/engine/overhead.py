"""What a decode step costs beside the model: everything that is not MLX.

On the engine thread, one after another: *engine* takes in arrivals, plans, reserves blocks, takes tokens, tells (over a device that
answers at once); *attention plan* works out who reads and writes which slots; *sampling* looks up each row's parameters and seeds. On
the I/O thread, beside the engine: *text* detokenizes and looks for stop strings, *frame* encodes the step's message. *graph* is the
building of MLX's graph for the whole model, for comparison: it is MLX's and the model's own code, and the same for every server.

Microseconds per step, median over the steps. The target is 1,000 for the three of the engine thread together, at 16 rows.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
import mlx.core as mx

from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.stats import microseconds
from benchmarks.harness.tables import print_rows, say
from benchmarks.harness.trial import Trial
from mlxd.types import Limits, MemoryFigures, ResolvedLimits, SamplingParams
from mlxd.wire.framing import worker_codec
from mlxd.wire.jobs import Generate
from mlxd.wire.messages import Events
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import TokenPrompt
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import StepOutput
from mlxd.worker.engine.executor import StepResult
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.sampled import SampledRow, SampledToken
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import CacheSizing
from mlxd.worker.request_encoder import RequestEncoder
from mlxd.worker.runtime.loading import LoadedModel, load
from mlxd.worker.runtime.paged.attention.plan import plan_attention
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from mlxd.worker.runtime.source import fetch_model
from mlxd.worker.sessions import Sessions
from mlxd.worker.text.answers import AnswerReader

PROMPT, BLOCK_SIZE = 500, 16
PARTS = ("engine", "attention plan", "sampling", "text", "frame", "graph")
_ENGINE_THREAD = PARTS[:3]


class NoDevice:
    """An ``Executor`` whose every token is there at once."""

    end_tokens: frozenset[int] = frozenset()

    def __init__(self, model: PagedModel) -> None:
        self.plan: StepPlan | None = None
        self._model = model

    @property
    def is_growing(self) -> bool:
        """Its arenas are what they are."""
        return False

    @property
    def is_pending(self) -> bool:
        """Always one step ahead, as a real one."""
        return self.plan is not None

    def open(self, request: EngineRequest) -> None:
        """Nothing is remembered of it."""

    def close(self, sequence: str) -> None:
        """There is nothing to forget."""

    def settle(self) -> Collection[str]:
        """No token is late."""
        return ()

    def reset(self) -> None:
        """Nothing can go wrong."""

    def memory(self) -> MemoryFigures:
        """As the real one looks at it, after each step."""
        return MemoryFigures(kv=self._model.nbytes, mlx_active=mx.get_active_memory(), mlx_peak=mx.get_peak_memory())

    def run(self, plan: StepPlan) -> StepResult | None:
        """Token 7 for every row of the step before."""
        before, self.plan = self.plan, plan if plan.chunks else None
        if before is None:
            return None
        return StepResult(before, {chunk.sequence: (SampledToken(7),) for chunk in before.chunks if chunk.samples}, {})


class Rig:
    """``rows`` sequences that decode after a prompt of their own."""

    def __init__(self, rows: int, loaded: LoadedModel, model: PagedModel) -> None:
        self.rows, self.loaded, self.model = rows, loaded, model
        limits = ResolvedLimits(cache_bytes=0, max_sequences=rows, step_tokens=PROMPT * rows)
        arena = model.geometry.arena_blocks
        model.forward(StepPlan(chunks=(Chunk("x", 0, 1, (5,), (Run(0, 1),), samples=True),)), mx.array([5]))  # its arenas are there
        manager = Manager(block_size=BLOCK_SIZE, arena_blocks=arena, capacity=arena)
        self.device = NoDevice(model)
        budget = StepBudget(largest=PROMPT)
        scheduler = Scheduler(manager, limits, budget, end_tokens=self.device.end_tokens)
        runner = PagedRunner(scheduler, manager, self.device, CacheSizing(BLOCK_SIZE, 1, 0), limits)
        self.queue = RequestQueue(rows, rows)
        self.told: list[StepOutput] = []
        self.engine = Engine(runner, self.queue, self.told.append)
        self.requests = [self._request(row) for row in range(rows)]
        for request in self.requests:
            self.queue.announce(request.id)
            self.queue.put(request)
        self.engine.step()
        while self.device.plan is None or self.device.plan.prefill_tokens:
            self.engine.step()

    def _request(self, row: int) -> EngineRequest:
        tokens = [(row * 7919 + at * at) % 40_000 for at in range(PROMPT)]
        return EngineRequest(f"request-{row}", EncodedPrompt(tokens, 100_000, CacheRoot(model="x")), SamplingParams(temperature=0))

    def measure(self, steps: int) -> dict[str, float]:
        """Microseconds per step of each part."""
        plan = self.device.plan
        assert plan is not None  # noqa: S101 - it decodes
        found = {"engine": microseconds(self.engine.step, steps)}
        output = self.told[-1]
        plan = StepPlan(chunks=tuple(self._known(chunk) for chunk in self.device.plan.chunks)) if self.device.plan else plan
        found["attention plan"] = microseconds(lambda: self._planned(plan), steps)
        found["sampling"] = self._sampling(steps)
        found |= self._delivery(output, steps)
        found["graph"] = self._graph(plan, max(5, steps // 20))
        return found

    def _planned(self, plan: StepPlan) -> object:
        """Everything that a step asks of its plan, row by row."""
        planned = plan_attention(plan.chunks, self.model.geometry)
        return planned.parts, planned.writes

    def _graph(self, plan: StepPlan, steps: int) -> float:
        """Evaluated after each step, as in life, but not while the clock runs."""
        tokens, found = mx.array([5] * self.rows), []
        for _ in range(steps):
            began = time.perf_counter()
            rows = self.model.forward(plan, tokens).rows
            found.append(time.perf_counter() - began)
            mx.eval(rows, *self.model.tensors())
        return statistics.median(found) * 1e6

    def _known(self, chunk: Chunk) -> Chunk:
        return Chunk(chunk.sequence, chunk.start, chunk.count, (5,), chunk.runs, chunk.samples, windows=chunk.windows)

    def _sampling(self, steps: int) -> float:
        """Its Python alone: the logits have two entries."""
        sampler = RowSampler(2)
        for request in self.requests:
            sampler.open(request)
        logits, rows = mx.zeros((self.rows, 2)), [SampledRow(request.id) for request in self.requests]
        mx.eval(logits)
        return microseconds(lambda: sampler.sample(logits, rows), steps)

    def _delivery(self, output: StepOutput, steps: int) -> dict[str, float]:
        return asyncio.run(self._deliver(output, steps))

    async def _deliver(self, output: StepOutput, steps: int) -> dict[str, float]:
        sent: list[Events] = []
        tokenizer: Any = self.loaded.tokenizer
        # All that sessions want of a ``Load``, and of a ``PromptEncoder`` whose work is not measured.
        order: Any = SimpleNamespace(limits=Limits())
        prompt = self.requests[0].prompt
        encoder: Any = SimpleNamespace(vocab_size=1, encode=lambda *_: prompt)
        queue = RequestQueue(self.rows, self.rows)
        sessions = Sessions(order, RequestEncoder(encoder, BLOCK_SIZE), AnswerReader(tokenizer.decode), queue, sent.append)
        for request in self.requests:
            wire = TokenPrompt(token_ids=[0])
            sessions.open(
                Generate(id=request.id, prompt=wire, sampling=request.sampling, max_tokens=None, output=OutputSpec(stop=["nowhere"]))
            )
        arrived = 0
        while arrived < self.rows:
            await asyncio.sleep(0.001)
            arrived += len(queue.arrivals())
        text = microseconds(lambda: sessions.deliver(output), steps)
        codec = worker_codec()
        frame = microseconds(lambda: codec.encode(sent[-1]), steps)
        sessions.close()
        return {"text": text, "frame": frame}


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:smollm2-135m", help="whose layers the graph is built for")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts = describe()
    say(one_line(facts))
    loaded = load(fetch_model(args.model, lambda *_: None), dtype="auto", context_limit=None)
    found: dict[int, dict[str, float]] = {}

    def work(progress: Progress) -> None:
        for rows in progress.over(args.rows, lambda rows: f"{rows} rows"):
            model = proved_model(loaded, BLOCK_SIZE)
            model.resize(type(model.geometry)(BLOCK_SIZE, 2 * rows * (PROMPT + args.steps) // BLOCK_SIZE))
            found[rows] = Rig(rows, loaded, model).measure(args.steps)
            model.remove()

    return Trial(lambda: report(found), lambda: {**facts, "microseconds": found}, args.json).through(work)


def report(found: dict[int, dict[str, float]]) -> int:
    """Prints the table; returns 1 if the target is missed."""
    totals = {rows: sum(parts[name] for name in _ENGINE_THREAD) for rows, parts in found.items()}
    table = [[name, *(f"{parts[name]:.0f}" for parts in found.values())] for name in PARTS]
    table.insert(3, ["engine thread, beside MLX", *(f"{total:.0f}" for total in totals.values())])
    print_rows("microseconds per decode step (lower is better)", ["", *(f"{rows} rows" for rows in found)], table)
    return int(16 in totals and totals[16] > 1000)


if __name__ == "__main__":
    sys.exit(main())
