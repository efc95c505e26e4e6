"""The paged executor: a step's forward pass and its sampling, on a GPU one step ahead of what is read."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic

import mlx.core as mx
from typing_extensions import override

from mlxd.errors import NotFiniteError
from mlxd.types import MemoryFigures
from mlxd.worker.engine.executor import Drafting, Encoded, Executor, StepResult
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.kv.lookup import CachedBlock
from mlxd.worker.runtime.draft.draft_model import Completed, DraftModel
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.disk_transfers import DiskTransfers
from mlxd.worker.runtime.paged.launch import Launch, wait_for
from mlxd.worker.runtime.paged.model import Logits, PagedModel, TargetLogits
from mlxd.worker.runtime.paged.step_pace import StepPace
from mlxd.worker.runtime.sampling.draws import Draws, no_draws
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from mlxd.worker.runtime.sampling.scores import ScoredRow, Scores, checked_scores, score
from mlxd.worker.runtime.sampling.undrawn_rows import UndrawnRows
from mlxd.worker.runtime.vision.encoder import Encoder

_CLEAR_EVERY = 64  # steps between giving MLX's cached buffers back
_LONG_PREFILL = 2048  # prompt tokens after which decoding has no use for the buffers that computed them

_SCORED_BYTES = 64 * 2**20  # of logits of targets, float32, in one step
_FEWEST_SCORED, _MOST_SCORED = 16, 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Launched:
    """A step, of which nothing need be evaluated yet. ``targets`` are the scores of its chunks' targets."""

    plan: StepPlan
    draws: Draws
    targets: tuple[Scores, ...]
    launched: float = 0.0  # monotonic
    waited: float = 0.0  # seconds, for masks
    drafting: Drafting | None = None

    def read_targets(self) -> dict[str, tuple[SampledToken, ...]]:
        """Returns them by sequence; waits for the device."""
        read: dict[str, list[SampledToken]] = {}
        for scores in self.targets:
            for row, token in zip(scores.rows, scores.read(), strict=True):
                read.setdefault(row.sequence, []).append(token)
        return {sequence: tuple(tokens) for sequence, tokens in read.items()}


class PagedExecutor(Executor):
    """Computes plans over a paged model, on this process's device.

    With ``ahead`` a step is launched before the tokens of the one before it are read, so that the device never waits for Python. On a CPU,
    where launching a step blocks until it is nearly done, that would only delay every token by a step; and to put it together while the
    last operations of the one before are computed takes cores from these: on two of them a step of one row then took 1.06 times as long,
    one of five 1.17 times. ``launch`` says whether it goes to the device at once.

    A sequence with a constraint is sampled when the mask behind its last token is there, which is worked out while the device computes:
    ahead, that is when the next step is about to be launched. One whose mask is late is left out of the next step, and others go on.

    Guesses that a plan leaves open are made by ``draft``, a model that is told of everything that happens to the cache.
    """

    def __init__(  # noqa: PLR0913 - what computes, and when
        self,
        loaded: LoadedModel,
        model: PagedModel,
        *,
        ahead: bool,
        draft: DraftModel | None = None,
        launch: Launch = Launch.AT_ONCE,
        transfers: DiskTransfers | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._ahead = ahead
        self._launch_when = launch
        self._draft = draft
        self._transfers = transfers
        self._encoder = encoder
        self._loaded = loaded
        self._model = model
        self._sampler = RowSampler(loaded.vocab_size, loaded.end_tokens)
        self._launched: _Launched | None = None
        self._undrawn = UndrawnRows(self._sampler.mask)
        self._pace = StepPace()
        self._steps = 0
        self._prefilled = 0  # prompt tokens since buffers were given back

    @override
    def open(self, request: EngineRequest) -> None:
        self._sampler.open(request)
        if self._draft is not None:
            self._draft.open(request)

    @override
    def close(self, sequence: str) -> None:
        self._sampler.close(sequence)
        if self._draft is not None:
            self._draft.close(sequence)
        self._model.states.forget(sequence)

    @property
    @override
    def end_tokens(self) -> frozenset[int]:
        return self._loaded.end_tokens

    @property
    @override
    def most_scored(self) -> int:
        return max(_FEWEST_SCORED, min(_MOST_SCORED, _SCORED_BYTES // (4 * self._loaded.vocab_size)))

    @property
    @override
    def is_growing(self) -> bool:
        return self._model.is_growing

    @property
    @override
    def is_pending(self) -> bool:
        return self._launched is not None

    @override
    def settle(self) -> frozenset[str]:
        if self._ahead:
            self._launched = self._complete(self._launched)
        return self._undrawn.sequences

    @override
    def run(self, plan: StepPlan) -> StepResult | None:
        transfers = self._transfers.run(plan) if self._transfers else None
        encoded = self._encode(plan)
        copied = self._copy(plan)
        result = self._run(plan)
        if transfers is None and encoded is None and (result is None or not copied):
            return result
        return replace(result or StepResult(StepPlan(), {}, {}), transfers=transfers, encoded=encoded, copied=copied)

    def _encode(self, plan: StepPlan) -> Encoded | None:
        """Goes on with pictures before anything is launched, when the device is done with what was: seconds are of them alone."""
        if self._encoder is None:
            return None
        self._encoder.let_go(plan.unseen)
        if not plan.encodes:
            return None
        self._wait()
        return self._encoder.run(plan.encodes)

    def _copy(self, plan: StepPlan) -> float:
        """Makes arenas larger and moves blocks, when the device is done with what was launched; returns the seconds of that alone."""
        if not plan.chunks or not self._model.copies_for(plan):
            return 0.0
        self._wait()
        began = monotonic()
        self._model.keep_for(plan)
        self._model.move(plan.moves)
        return monotonic() - began

    def _wait(self) -> None:
        """Returns when the device is done with what was launched."""
        if self._launched is not None:
            wait_for(*self._launched.draws.tensors())

    def _run(self, plan: StepPlan) -> StepResult | None:
        before, self._launched = self._launched, None
        if plan.chunks:
            self._launched = self._launch(plan, before)
        for sequence in plan.released:
            self._model.states.forget(sequence)
        self._model.states.drop(plan.dropped)
        if not self._ahead:
            before, self._launched = self._complete(self._launched), None
        return None if before is None else self._collect(before)

    @override
    def trim(self, plan: StepPlan) -> None:
        if self._transfers is not None:
            self._transfers.run(plan)
        if self._encoder is not None:
            self._encoder.let_go(plan.unseen)
        self._model.keep(plan.arenas, plan.window_arenas)
        self._model.move(plan.moves)
        if self._draft is not None:
            self._draft.keep(plan.arenas)
            self._draft.move(plan.moves)
        self._model.states.drop(plan.dropped)
        mx.clear_cache()

    @override
    def not_finite(self, cached: Sequence[CachedBlock]) -> frozenset[int]:
        return self._model.not_finite(cached)

    @override
    def reset(self) -> None:
        self._launched = None
        self._undrawn.clear()
        self._model.reset()
        if self._encoder is not None:
            self._encoder.clear()
        if self._draft is not None:
            self._draft.clear()
        mx.clear_cache()

    @override
    def memory(self) -> MemoryFigures:
        """Counts as keys and values what the arenas take."""
        draft = self._draft
        return MemoryFigures(
            weights=self._loaded.weight_bytes,
            kv=self._model.nbytes,
            states=self._model.states.nbytes,
            snapshots=self._model.states.snapshot_nbytes,
            media=self._encoder.nbytes if self._encoder else 0,
            draft=draft.weight_bytes + draft.nbytes if draft else 0,
            mlx_active=mx.get_active_memory(),
            mlx_cache=mx.get_cache_memory(),
            mlx_peak=mx.get_peak_memory(),
        )

    def _collect(self, step: _Launched) -> StepResult:
        sampled, scored = step.draws.read(), step.read_targets()
        self._pace.read(step.plan, step.launched, step.waited)
        failed = step.draws.failures() | _not_finite(scored)
        good = {name: tokens for name, tokens in sampled.items() if name not in failed}
        self._sampler.accept(good)
        if self._draft is not None:
            self._draft.accept(good)
        result = StepResult(step.plan, sampled, failed, scored, step.drafting)
        self._give_back_buffers(step.plan.prefill_tokens)
        return result

    def _give_back_buffers(self, prefilled: int) -> None:
        """Gives MLX's cached buffers back from time to time, and once long prompts are computed."""
        self._steps += 1
        self._prefilled += prefilled
        if self._steps % _CLEAR_EVERY == 0 or (self._prefilled >= _LONG_PREFILL and not prefilled):
            mx.clear_cache()
            self._prefilled = 0

    def _launch(self, plan: StepPlan, before: _Launched | None) -> _Launched:
        launched = monotonic()
        completed = Completed(plan) if self._draft is None else self._draft.complete(plan, self._sampler)
        plan = completed.plan
        logits: Logits = self._model.forward(plan, _inputs(plan, before))
        draws = self._sampler.sample(logits.rows, logits.sampled)
        targets = tuple(self._score(one) for one in logits.targets)
        scores = [tensor for one in targets for tensor in one.tensors()]
        if before is not None and self._launch_when is Launch.WHEN_DONE:
            wait_for(*before.draws.tensors())
        mx.async_eval(*draws.tensors(), *scores, *self._model.tensors())  # type: ignore[no-untyped-call]  # mlx ships no types
        if draws.undrawn is not None:
            self._undrawn.add(draws.undrawn)
        return _Launched(plan, replace(draws, undrawn=None), targets, launched, drafting=completed.drafting)

    def _complete(self, step: _Launched | None) -> _Launched | None:
        """Samples what waited for masks, also of steps before, as far as they are there."""
        if not self._undrawn.sequences:
            self._undrawn.clear()
            return step
        step = step or _Launched(StepPlan(), no_draws(), ())
        began, usual, done = monotonic(), self._pace.usual(step.plan), self._pace.done(step.plan, step.launched)
        rows = self._undrawn.take(others=len(step.draws.rows), usual=usual, until=done)
        step = replace(step, waited=monotonic() - began)
        if rows:
            drawn = self._sampler.draw(rows)
            step = replace(step, draws=step.draws.joined(drawn) if step.draws.rows else drawn)
            mx.async_eval(*drawn.tensors())  # type: ignore[no-untyped-call]  # as above
        return step

    def _score(self, logits: TargetLogits) -> Scores:
        targets = [target for chunk in logits.chunks for target in chunk.targets]
        names = [chunk.sequence for chunk in logits.chunks for _ in chunk.targets]
        return score(logits.rows, mx.array(targets), [ScoredRow(name, self._sampler.top(name)) for name in names])


def _not_finite(scored: Mapping[str, tuple[SampledToken, ...]]) -> dict[str, Exception]:
    """Returns the sequences of which a log-probability is no number."""
    failed: dict[str, Exception] = {}
    for sequence, tokens in scored.items():
        try:
            checked_scores(tokens)
        except NotFiniteError as error:
            failed[sequence] = error
    return failed


def _inputs(plan: StepPlan, before: _Launched | None) -> mx.array:
    """Returns the token ids ``[T]``: known ones from the plan, those in flight from the step before, without reading them."""
    known = [token for chunk in plan.chunks for token in (chunk.tokens or (0,))]
    pending = [chunk for chunk in plan.chunks if chunk.tokens is None]
    if not pending:
        return mx.array(known, dtype=mx.int32)
    if before is None:
        raise RuntimeError("a token is in flight, but no step is")
    draws = before.draws
    if len(pending) == len(known) and tuple(chunk.sequence for chunk in pending) == draws.sequences:
        return draws.tokens
    where = {sequence: at for at, sequence in enumerate(draws.sequences)}
    index, row = list(range(len(draws.sequences), len(draws.sequences) + len(known))), 0
    for chunk in plan.chunks:
        if chunk.tokens is None:
            index[row] = where[chunk.sequence]
        row += chunk.count
    return mx.concatenate([draws.tokens.astype(mx.int32), mx.array(known, dtype=mx.int32)])[mx.array(index)]
