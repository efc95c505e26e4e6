"""The paged runner: one forward pass per step for all sequences, one step ahead of what is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import mlx.core as mx

from mlxd.types import MemoryFigures, SamplingParams
from mlxd.worker.engine.batch_runner import StepResult
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.kv.manager import Manager
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.sampler import Penalties, draw_seed, row_key, sample

_CLEAR_EVERY = 64  # steps between giving MLX's cached buffers back


@dataclass
class _Row:
    """A sequence's own state of sampling."""

    params: SamplingParams
    prompt: Sequence[int]
    seed: int
    position: int = 0  # tokens sampled so far
    penalties: Penalties | None = None


@dataclass(frozen=True)
class _Launched:
    plan: StepPlan
    rows: tuple[str, ...]  # the sequences sampled, in order
    tokens: mx.array  # [S], possibly not evaluated


class PagedRunner:
    """Implements ``engine.batch_runner.BatchRunner``."""

    def __init__(self, loaded: LoadedModel, model: PagedModel, manager: Manager) -> None:
        self.end_tokens = loaded.end_tokens
        self._loaded = loaded
        self._model = model
        self._manager = manager
        self._rows: dict[str, _Row] = {}
        self._launched: _Launched | None = None
        self._steps = 0

    def open(self, request: EngineRequest) -> None:
        """See ``BatchRunner``."""
        params = request.sampling
        seed = draw_seed() if params.seed is None else params.seed
        penalties = Penalties(params, request.tokens, self._loaded.vocab_size) if Penalties.needed(params) else None
        self._rows[request.id] = _Row(params, request.tokens, seed, penalties=penalties)

    def close(self, sequence: str) -> None:
        """See ``BatchRunner``."""
        self._rows.pop(sequence, None)

    def run(self, plan: StepPlan) -> StepResult | None:
        """See ``BatchRunner``."""
        before, self._launched = self._launched, None
        if plan.chunks:
            self._launched = self._launch(plan, before)
        if before is None:
            return None
        values = cast("list[int]", before.tokens.tolist())
        sampled = dict(zip(before.rows, values, strict=True))
        self._steps += 1
        if self._steps % _CLEAR_EVERY == 0:
            mx.clear_cache()
        return StepResult(before.plan, sampled, {})

    def memory(self) -> MemoryFigures:
        """KV: what the arenas take."""
        return MemoryFigures(
            weights=self._loaded.weight_bytes,
            kv=sum(layer.arenas.nbytes for layer in self._model.layers),
            mlx_active=mx.get_active_memory(),
            mlx_cache=mx.get_cache_memory(),
            mlx_peak=mx.get_peak_memory(),
        )

    def _launch(self, plan: StepPlan, before: _Launched | None) -> _Launched:
        self._model.keep(self._manager.pool.arenas)
        logits = self._model.forward(plan, _inputs(plan, before))
        sampled = tuple(chunk.sequence for chunk in plan.chunks if chunk.samples)
        tokens = self._sample(logits, sampled) if sampled else mx.zeros((0,), mx.int32)
        mx.async_eval(tokens, *self._model.tensors())  # type: ignore[no-untyped-call]  # mlx ships no types
        return _Launched(plan, sampled, tokens)

    def _sample(self, logits: mx.array, sequences: Sequence[str]) -> mx.array:
        rows = [self._rows[sequence] for sequence in sequences]
        if any(row.penalties for row in rows):
            parts = [row.penalties.apply(logits[at : at + 1]) if row.penalties else logits[at : at + 1] for at, row in enumerate(rows)]
            logits = mx.concatenate(parts, axis=0)
        tokens = sample(logits, [row.params for row in rows], [row_key(row.seed, row.position) for row in rows])
        for at, row in enumerate(rows):
            row.position += 1
            if row.penalties is not None:
                row.penalties.add(tokens[at : at + 1])
        return tokens


def _inputs(plan: StepPlan, before: _Launched | None) -> mx.array:
    """``[T]`` token ids: known ones from the plan, those in flight from the step before, without reading them."""
    known = [token for chunk in plan.chunks for token in (chunk.tokens or (0,))]
    pending = [chunk for chunk in plan.chunks if chunk.tokens is None]
    if not pending:
        return mx.array(known)
    if before is None:
        raise RuntimeError("a token is in flight, but no step is")
    if len(pending) == len(known) and tuple(chunk.sequence for chunk in pending) == before.rows:
        return before.tokens
    where = {sequence: at for at, sequence in enumerate(before.rows)}
    index, row = list(range(len(before.rows), len(before.rows) + len(known))), 0
    for chunk in plan.chunks:
        if chunk.tokens is None:
            index[row] = where[chunk.sequence]
        row += chunk.count
    return mx.concatenate([before.tokens.astype(mx.int32), mx.array(known, dtype=mx.int32)])[mx.array(index)]
