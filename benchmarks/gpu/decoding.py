"""Tokens per second of rows that decode, by every way to attend, beside mlx-lm's model over its ``BatchKVCache``.

Both launch a step before they read the tokens of the one before, as in life; both are greedy, with contexts of one length, so that mlx-lm
pads nothing. mlxd's step is that of its engine: plan of attention, forward pass, sampling.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import psutil
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache

from mlxd.types import AttentionWay, SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.executor import PagedExecutor
from mlxd.worker.runtime.paged.launch import Launch, fastest_launch
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry

BLOCK_SIZE = 16
PEER = "BatchKVCache"
_WARM = 3  # steps before the clock runs
_CHUNK = 256  # tokens of a prompt that are computed together


@dataclass(frozen=True)
class Contender:
    """A way to attend, and whether its steps are ``compiled``."""

    way: AttentionWay
    compiled: bool

    def __str__(self) -> str:
        return f"{self.way}, compiled" if self.compiled else self.way.value


@dataclass(frozen=True)
class Decoding:
    """One turn of ``who``, a contender or mlx-lm: ``rows`` at once, after ``tokens`` each. ``grown_bytes`` is the peak of memory over
    what was there before the turn's steps, and ``cache_bytes`` what keys and values take.
    """

    who: str
    rows: int
    tokens: int
    round: int
    tokens_per_second: float
    python_milliseconds: float  # of a step, on the thread that launches
    grown_bytes: int
    cache_bytes: int
    launch: Launch  # when mlxd launches a step, as it found to be fastest on the device


def fits(token_bytes: int, rows: int, tokens: int) -> bool:
    """Tells whether the caches of both, mlxd's and mlx-lm's, take no more than a third of the memory there is."""
    return 2 * rows * tokens * token_bytes <= psutil.virtual_memory().total / 3


class Rig:
    """``rows`` sequences with prompts of ``tokens`` in mlxd's cache and in mlx-lm's. All turns begin behind the same tokens."""

    def __init__(self, loaded: LoadedModel, model: PagedModel, rows: int, tokens: int, steps: int) -> None:
        self.rows, self.tokens, self.steps = rows, tokens, steps
        self._loaded, self._model = loaded, model
        self._blocks = -(-(tokens + steps + _WARM + 2) // BLOCK_SIZE)
        self._prompts = [[(row * 7919 + at * at) % loaded.vocab_size for at in range(tokens)] for row in range(rows)]
        model.resize(Geometry(BLOCK_SIZE, rows * self._blocks))
        self._compiled = model.compile()
        model.compiled = None
        self.launch = fastest_launch(model) if loaded.device == "gpu" else Launch.AT_ONCE
        self._executor = PagedExecutor(loaded, model, ahead=True, launch=self.launch)
        for row in range(rows):
            prompt = EncodedPrompt(self._prompts[row], 10_000, CacheRoot(model="x"))
            self._executor.open(EngineRequest(str(row), prompt, SamplingParams(temperature=0.0)))
        self._fill()
        self._caches = _filled(loaded.model, self._prompts)

    def turns(self, contenders: Sequence[Contender], number: int) -> Iterator[Decoding]:
        """Yields a turn of each contender, and of mlx-lm; who is first changes from round to round."""
        turns = [partial(self._ours, contender, number) for contender in contenders]
        turns.append(partial(self._peer, number))
        first = number % len(turns)
        for turn in (*turns[first:], *turns[:first]):
            yield turn()

    def _fill(self) -> None:
        for row, prompt in enumerate(self._prompts):
            for part in _parts(self.tokens):
                tokens = prompt[part.start : part.stop]
                chunk = Chunk(str(row), part.start, len(part), tuple(tokens), self._runs(row), samples=False)
                self._model.forward(StepPlan(chunks=(chunk,)), mx.array(tokens))
                mx.eval(self._model.tensors())

    def _ours(self, contender: Contender, number: int) -> Decoding:
        self._model.ways.regions = Regions(usual=contender.way, most_copied=sys.maxsize)
        self._model.compiled = self._compiled if contender.compiled else None
        self._executor.run(self._plan(0, (5,) * self.rows))

        def step(at: int) -> None:
            self._executor.run(self._plan(at, None))

        found = self._timed(str(contender), number, step, self._model.nbytes)
        self._executor.run(StepPlan())
        return found

    def _peer(self, number: int) -> Decoding:
        before = self._launched(mx.array([5] * self.rows))

        def step(_: int) -> None:
            nonlocal before
            launched = self._launched(before)
            before.tolist()
            before = launched

        found = self._timed(PEER, number, step, sum(cache.keys.nbytes + cache.values.nbytes for cache in self._caches))
        mx.eval(before)
        for cache in self._caches:
            cache.trim(cache._idx - self.tokens)  # noqa: SLF001 - all it has to say how long it is
        return found

    def _launched(self, tokens: mx.array) -> mx.array:
        sampled = mx.argmax(self._loaded.model(tokens[:, None], cache=self._caches)[:, -1], axis=-1)
        mx.async_eval(sampled)
        return sampled

    def _timed(self, who: str, number: int, step: Callable[[int], None], cache_bytes: int) -> Decoding:
        """Steps, the first few of which do not count; ``step`` is given how many tokens there are behind the prompt."""
        for at in range(1, _WARM + 1):
            step(at)
        mx.synchronize()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        python, began = [], time.perf_counter()
        for at in range(_WARM + 1, _WARM + self.steps + 1):
            spent = time.thread_time()
            step(at)
            python.append(time.thread_time() - spent)
        mx.synchronize()
        seconds = time.perf_counter() - began
        grown = mx.get_peak_memory() - before
        speed = self.rows * self.steps / seconds
        return Decoding(who, self.rows, self.tokens, number, speed, 1e3 * statistics.median(python), grown, cache_bytes, self.launch)

    def _plan(self, at: int, tokens: tuple[int, ...] | None) -> StepPlan:
        """Returns the plan of a token of each row, ``at`` behind its prompt; without ``tokens`` they are those in flight."""
        chunks = (
            Chunk(str(row), self.tokens + at, 1, None if tokens is None else (tokens[row],), self._runs(row), samples=True)
            for row in range(self.rows)
        )
        return StepPlan(chunks=tuple(chunks), arenas=(Arena(0, self.rows * self._blocks),))

    def _runs(self, row: int) -> tuple[Run, ...]:
        return (Run(row * self._blocks, (row + 1) * self._blocks),)


def _filled(model: Any, prompts: list[list[int]]) -> list[BatchKVCache]:
    """Returns caches that hold the prompts. Logits are not evaluated: those of all prompts would be larger than the model."""
    caches = [BatchKVCache([0] * len(prompts)) for _ in make_prompt_cache(model)]
    for part in _parts(len(prompts[0])):
        model(mx.array([prompt[part.start : part.stop] for prompt in prompts]), cache=caches)
        mx.eval([(cache.keys, cache.values) for cache in caches])
    return caches


def _parts(tokens: int) -> list[range]:
    return [range(start, min(start + _CHUNK, tokens)) for start in range(0, tokens, _CHUNK)]
