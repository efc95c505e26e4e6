"""The choice of the runner that a model gets, and why. Whatever is not right for it is found out here, and said."""

import logging
from dataclasses import dataclass

from mlxd.types import ResolvedLimits, RunnerKind, SpeculationKind, StepCompilation
from mlxd.wire.attention_facts import AttentionFacts
from mlxd.wire.key_value_facts import KeyValueFacts
from mlxd.wire.messages import Load, SpeculationFacts
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import Runner
from mlxd.worker.runtime.draft.loading import Draft
from mlxd.worker.runtime.entries.contiguous_probe import NotBatchableError, prove_batching
from mlxd.worker.runtime.entries.contiguous_runner import ContiguousRunner
from mlxd.worker.runtime.entries.prompt_cache import PromptCache
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.attention_choice import choose_attention
from mlxd.worker.runtime.paged.build import paged_runner, prove_model
from mlxd.worker.runtime.paged.compiled.trial import try_compiling
from mlxd.worker.runtime.paged.disk import OpenTier
from mlxd.worker.runtime.paged.key_value_choice import choose_key_values, refusal
from mlxd.worker.runtime.paged.layer_cache import NotPageableError
from mlxd.worker.runtime.vision.choice import BLIND, SightChoice, choose_sight

_log = logging.getLogger(__name__)


NOT_PAGED = SpeculationFacts(reason="guesses are verified over a paged cache only, which this model is not served from")
_RECURRENT = SpeculationFacts(reason="the model has recurrent state, which cannot be taken back behind a wrong guess")


@dataclass(frozen=True)
class Choice:
    """A runner, and why it is this one: ``name`` and ``reason`` are shown to people. ``is_fallback`` says that another one was asked for;
    ``block_size`` is that of a paged cache, and ``compilation`` says what became of its steps; both are None without one.
    """

    runner: Runner[EngineRequest]
    name: RunnerKind
    reason: str
    is_fallback: bool = False
    block_size: int | None = None
    speculation: SpeculationFacts = NOT_PAGED
    compilation: StepCompilation | None = None
    attention: AttentionFacts | None = None
    keys_and_values: KeyValueFacts | None = None
    kv_type: str = ""  # what keys and values are stored as; empty: as they are computed
    sight: SightChoice = BLIND


def choose_runner(
    order: Load, limits: ResolvedLimits, loaded: LoadedModel, draft: Draft | None = None, open_tier: OpenTier | None = None
) -> Choice:
    """Returns the runner that the order asks for, or one that is right for the model where that one is not.

    Raises ``ConfigError`` where the cache is too small for anything, or cannot be of the type that is asked for, and ``DraftModelError``
    where there is a ``draft`` model and it cannot be of use.
    """
    if draft is not None and (order.mode == "simple" or order.cache_kind != "paged"):
        raise draft.refusal("only continuous batching over a paged cache has guesses verified")
    if order.mode == "simple":
        simple = SimpleRunner(loaded, _prompt_cache(order, limits), limits)
        return Choice(simple, RunnerKind.SIMPLE, 'batching.mode = "simple"', sight=choose_sight(loaded))
    if order.cache_kind != "paged":
        return _contiguous(order, limits, loaded, f'cache.kind = "{order.cache_kind}"', is_fallback=False)
    try:
        proved = prove_model(loaded, order.block_size)
    except NotPageableError as error:
        if draft is not None:
            raise draft.refusal(f"{order.source} is not paged: {error.message}") from error
        if order.kv_wish == "int8":
            raise refusal(f"the model is not paged: {error.message}") from error
        return _contiguous(order, limits, loaded, f"not paged: {error.message}", is_fallback=True)
    stored = choose_key_values(loaded, proved, order.kv_wish)
    proved, model = stored.proved, stored.proved.model
    attention = choose_attention(loaded, proved, order.attention, limits.max_sequences)
    drafting = None if draft is None else draft.prove(model, draft.load(loaded), limits.max_sequences)
    compilation = try_compiling(loaded, model, order.compile)
    sight = choose_sight(loaded, model)
    runner = paged_runner(loaded, model, limits, drafting, open_tier, encoder=sight.encoder)
    speculation = _RECURRENT if model.states.exist else _guessing(with_draft=drafting is not None)
    return Choice(
        runner,
        RunnerKind.PAGED,
        "; ".join(filter(None, ["its logits over the paged cache were proved", model.manner.told])),
        block_size=order.block_size,
        speculation=speculation,
        compilation=compilation,
        attention=attention,
        keys_and_values=stored.facts,
        kv_type=model.kv_type,
        sight=sight,
    )


def _guessing(*, with_draft: bool) -> SpeculationFacts:
    kinds = [SpeculationKind.LOOKUP, *([SpeculationKind.DRAFT] if with_draft else [])]
    return SpeculationFacts(kinds=kinds, reason="guesses are verified over the paged cache")


def _contiguous(order: Load, limits: ResolvedLimits, loaded: LoadedModel, reason: str, *, is_fallback: bool) -> Choice:
    cache, sight = _prompt_cache(order, limits), choose_sight(loaded)
    try:
        prove_batching(loaded)
    except NotBatchableError as error:
        reason = f"{reason}; not batched: {error}"
        choice = Choice(SimpleRunner(loaded, cache, limits), RunnerKind.SIMPLE, reason, is_fallback=True, sight=sight)
    else:
        choice = Choice(ContiguousRunner(loaded, cache, limits), RunnerKind.CONTIGUOUS, reason, is_fallback=is_fallback, sight=sight)
    if choice.is_fallback:
        _log.warning("%s runs on the %s runner: %s", order.model, choice.name, choice.reason)
    return choice


def _prompt_cache(order: Load, limits: ResolvedLimits) -> PromptCache | None:
    if order.cache_kind == "none":
        return None
    return PromptCache(max_entries=limits.cache_entries, max_bytes=limits.cache_bytes)
