"""The way from a ``Load`` message to a model that has generated a token, or encoded a text."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

from mlxd.worker.runtime.blas import load_openblas
from mlxd.worker.runtime.library_import import import_library

_HAS_OPENBLAS = load_openblas()  # before anything imports MLX
import_library()  # before anything else does

import msgspec  # noqa: E402

from mlxd.disk_cache.disk_cache import DiskCache  # noqa: E402
from mlxd.disk_cache.identity import WeightsIdentity  # noqa: E402
from mlxd.disk_cache.tier import DiskTier  # noqa: E402
from mlxd.errors import ModelSourceError  # noqa: E402
from mlxd.footprint import footprint  # noqa: E402
from mlxd.types import Ability, LoadStage, ResolvedLimits, SamplingParams, Task  # noqa: E402
from mlxd.wire.messages import Load, NeedsMemory, Ready  # noqa: E402
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt  # noqa: E402
from mlxd.worker.engine.adapters.store import AdapterStore  # noqa: E402
from mlxd.worker.engine.paged_runner import PagedRunner  # noqa: E402
from mlxd.worker.engine.request import EngineRequest  # noqa: E402
from mlxd.worker.engine.runner import Runner  # noqa: E402
from mlxd.worker.facts.directory import DirectoryFacts  # noqa: E402
from mlxd.worker.facts.encoding.task import find_task  # noqa: E402
from mlxd.worker.runtime.choose import Choice, choose_runner  # noqa: E402
from mlxd.worker.runtime.device import MlxMemory, working_set  # noqa: E402
from mlxd.worker.runtime.draft.loading import Draft  # noqa: E402
from mlxd.worker.runtime.encoding.start import start_encoder  # noqa: E402
from mlxd.worker.runtime.library_errors import configuration_causes  # noqa: E402
from mlxd.worker.runtime.loading import LoadedModel, OpenedModel, open_directory, read_weights  # noqa: E402
from mlxd.worker.runtime.source import fetch_model  # noqa: E402
from mlxd.worker.runtime.tokenizing import decoder  # noqa: E402
from mlxd.worker.runtime.vision.seeing_model import SeeingModel  # noqa: E402
from mlxd.worker.servable import ServableEncoder, ServableModel  # noqa: E402
from mlxd.worker.text.answers import AnswerReader  # noqa: E402
from mlxd.worker.text.constraints.answer import AnswerConstraints  # noqa: E402
from mlxd.worker.text.constraints.vocabulary import UnknownVocabularyError, Vocabulary, open_vocabulary  # noqa: E402
from mlxd.worker.text.media_processor import KEPT  # noqa: E402
from mlxd.worker.text.prompt import PromptEncoder  # noqa: E402
from mlxd.worker.text.shapes import Shapes, WishedShapes  # noqa: E402
from mlxd.worker.text.token_kinds import token_kinds  # noqa: E402

_log = logging.getLogger(__name__)

_DISK_QUEUE = 128 * 2**20  # bytes of blocks that wait to be written
_OPENING = 2.0  # seconds that a model is not ready for, because what is on disk is not known yet
_TRANSIENTS = 128 * 2**20  # bytes: activations, logits and what MLX keeps to use again, beside a tenth of the weights
_TOWER = 128 * 2**20  # bytes: what a vision tower computes with, of as many patches as go through it at once


def start_model(
    order: Load, limits: ResolvedLimits, progress: Callable[[LoadStage, int, int], None], permit: Callable[[NeedsMemory], int]
) -> ServableModel | ServableEncoder:
    """Fetches, loads, and generates one token, or encodes a text, on the calling thread, which from then on owns the model. ``limits`` are
    the order's, resolved. ``permit`` returns when there is memory, with the bytes that the cache may have.

    Raises ``ModelSourceError`` (the message names the file), ``ConfigError`` for a cache too small, and whatever MLX raises.
    """
    began = time.monotonic()
    path = fetch_model(order.source, progress)
    progress(LoadStage.LOADING, 0, 0)
    directory = DirectoryFacts.read(path)
    found = find_task(directory, order.task)
    if found.task is not Task.GENERATE:
        return start_encoder(order, limits, directory, found, began=began, progress=progress, permit=permit)
    return _start_generating(order, limits, directory, began, progress, permit)


def _start_generating(  # noqa: PLR0913, PLR0917 - what is known of a load by then
    order: Load,
    limits: ResolvedLimits,
    directory: DirectoryFacts,
    began: float,
    progress: Callable[[LoadStage, int, int], None],
    permit: Callable[[NeedsMemory], int],
) -> ServableModel:
    wished = WishedShapes(order.tools, order.reasoning)
    opened = open_directory(directory, dtype=order.dtype, context_limit=order.context_length, wished=wished)
    draft = Draft.open(order, opened, progress)
    needs = _needs(order, limits, opened, draft)
    limits = _granted(order, limits, permit(needs))
    memory = MlxMemory(needs.transients - _kept_media(opened))
    loaded = _read(order, opened)
    progress(LoadStage.WARMING, 0, 0)
    vocabulary = _begin_vocabulary(loaded)
    choice = choose_runner(order, limits, loaded, draft, partial(_open_tier, order, limits, loaded, opened.directory.directory))
    root = CacheRoot(model=order.source, kv_type=choice.kv_type)
    _warm(choice.runner, root, opened, loaded)
    shapes = loaded.chat.shapes if loaded.chat else None
    answers = AnswerReader(decoder(loaded.tokenizer), token_kinds(loaded.tokenizer), shapes)
    constraints = _constraints(order, vocabulary, shapes)
    encoder = _encoder(loaded, root, choice)
    _await_disk(order, choice.runner)  # the last of what others open meanwhile
    ready = Ready(
        runner=choice.name,
        runner_reason=choice.reason,
        is_fallback=choice.is_fallback,
        limits=limits,
        device=loaded.device,
        dtype=loaded.dtype,
        context_length=loaded.context_length,
        bounds=encoder.bounds,
        vocab_size=loaded.vocab_size,
        weight_bytes=loaded.weight_bytes,
        load_seconds=time.monotonic() - began,
        abilities=_abilities(choice, constraints),
        speculation=choice.speculation,
        compilation=choice.compilation,
        attention=choice.attention,
        keys_and_values=choice.keys_and_values,
        facts=msgspec.structs.replace(loaded.facts, draft=draft.facts if draft else None, sight=choice.sight.told or loaded.facts.sight),
        versions=_versions(loaded),
    )
    memory.hold_to(limits)
    return ServableModel(choice.runner, memory, choice.block_size, encoder, answers, constraints, ready, _adapters(choice.runner))


def _adapters(runner: Runner[EngineRequest]) -> AdapterStore | None:
    store = runner.adapters if isinstance(runner, PagedRunner) else None
    return store if isinstance(store, AdapterStore) else None


def _encoder(loaded: LoadedModel, root: CacheRoot, choice: Choice) -> PromptEncoder:
    sizes = {"vocab_size": loaded.vocab_size, "context_length": loaded.context_length}
    return PromptEncoder(loaded.tokenizer, loaded.chat, root=root, media=choice.sight.processor, **sizes)


def _abilities(choice: Choice, constraints: AnswerConstraints | None) -> list[Ability]:
    """Returns what the model's runner can do, and what is proved of its sight."""
    lacking = set() if constraints else {Ability.CONSTRAINTS}
    return sorted((choice.runner.abilities | choice.sight.abilities) - lacking)


def _versions(loaded: LoadedModel) -> dict[str, str]:
    used = {"mlx": "mlx", "mlx_lm": "mlx-lm"} | ({"mlx_vlm": "mlx-vlm"} if loaded.facts.library == "mlx-vlm" else {})
    return {name: version(package) for name, package in used.items()} | ({"blas": "openblas"} if _HAS_OPENBLAS else {})


def _read(order: Load, opened: OpenedModel) -> LoadedModel:
    """Reads the weights, and logs what the files gave reason to warn of."""
    loaded = read_weights(opened)
    for warning in loaded.facts.warnings:
        _log.warning("%s: %s", order.model, warning)
    return loaded


def _open_tier(order: Load, limits: ResolvedLimits, loaded: LoadedModel, directory: Path, parts: Sequence[str]) -> DiskTier:
    """Opens the cache on disk, in threads of its own. What its blocks depend on is in the model's files, in the type and on the device that
    they are computed with, and in ``parts``.
    """
    identity = WeightsIdentity.of_model(directory, (loaded.dtype, loaded.device, *parts))
    return DiskCache(order.model, identity, limits.disk, queue_bytes=_DISK_QUEUE)


def _await_disk(order: Load, runner: Runner[EngineRequest]) -> None:
    """Waits for what is on disk, for a moment: a model is often loaded for a request that goes on with what is there. A disk that does not
    answer, or files that were never hashed, take longer.
    """
    if isinstance(runner, PagedRunner) and not runner.wait_for_disk(_OPENING):
        _log.warning("%s: it is ready before its cache on disk is open: what is there is found later", order.model)


def _begin_vocabulary(loaded: LoadedModel) -> Future[Vocabulary]:
    """Opens the vocabulary for grammars in a thread of its own: up to seconds, while the model warms up."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vocabulary")
    opening = pool.submit(open_vocabulary, loaded.tokenizer, width=loaded.vocab_size, ends=loaded.end_tokens)
    pool.shutdown(wait=False)
    return opening


def _constraints(order: Load, vocabulary: Future[Vocabulary], shapes: Shapes | None) -> AnswerConstraints | None:
    try:
        return AnswerConstraints(vocabulary.result(), shapes or Shapes())
    except UnknownVocabularyError as error:
        _log.warning("%s: nothing can be enforced of its answers: %s", order.model, error)
        return None


def _granted(order: Load, limits: ResolvedLimits, cache: int) -> ResolvedLimits:
    """Returns the limits with so many bytes for the cache, if there is one."""
    return limits if order.cache_kind == "none" else ResolvedLimits.of(limits, cache)


def _needs(order: Load, limits: ResolvedLimits, opened: OpenedModel, draft: Draft | None) -> NeedsMemory:
    cache = 0 if order.cache_kind == "none" else limits.cache_bytes
    weights = opened.weight_bytes + (draft.weight_bytes if draft else 0)
    tower = _TOWER if isinstance(opened.model, SeeingModel) else 0
    transients = _TRANSIENTS + weights // 10 + tower + _kept_media(opened)
    disk = 0 if limits.disk is None else _DISK_QUEUE
    return NeedsMemory(
        weights=weights,
        cache=cache,
        transients=transients,
        disk=disk,
        adapters=limits.adapter_bytes,
        process=footprint(os.getpid()),
        device=working_set(opened.device),
    )


def _kept_media(opened: OpenedModel) -> int:
    """Returns the bytes of pictures and films that are kept ready for a tower: no memory of MLX's."""
    return KEPT if isinstance(opened.model, SeeingModel) else 0


def _warm(runner: Runner[EngineRequest], root: CacheRoot, opened: OpenedModel, loaded: LoadedModel) -> None:
    """Generates real tokens, by every way of sampling: what cannot compute must not become ready. Nothing of them stays in the cache."""
    of_prompt = Ability.PROMPT_LOGPROBS in runner.abilities
    for sampling, logprobs in ((SamplingParams(temperature=0), None), (_everything(loaded.vocab_size), 2)):
        sampled, scored = 0, of_prompt and logprobs is not None
        prompt = EncodedPrompt([0, 0], 2, root)
        runner.add(EngineRequest("warm-up", prompt, sampling, logprobs=logprobs, prompt_logprobs=scored))
        while not runner.is_idle:
            report = runner.step()
            sampled += len(report.sampled)
            for error in report.failed.values():
                seen = configuration_causes(opened.directory.config)
                said = f"{seen} ({error})" if seen else error
                raise ModelSourceError(f"{opened.directory.directory} was loaded but cannot generate: {said}") from error
        if not sampled:
            raise ModelSourceError(f"{opened.directory.directory} was loaded but generated nothing")
    runner.evict_cached()


def _everything(vocab_size: int) -> SamplingParams:
    """Returns every penalty, filter and bias at once."""
    return SamplingParams(
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        min_p=0.01,
        repetition_penalty=1.1,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        logit_bias={0: 0.5, vocab_size - 1: -0.5},
        seed=0,
    )
