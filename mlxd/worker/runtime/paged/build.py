"""The way from a loaded model to the runner over a paged cache, if that is right for the model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from mlxd.types import ResolvedLimits
from mlxd.worker.engine.adapters.store import AdapterStore
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.seeing import MediaSeeing
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.model_drafter import ModelDrafter
from mlxd.worker.engine.speculation.recycling_drafter import RecyclingDrafter
from mlxd.worker.engine.speculation.speculation import Speculation
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import CacheSizes, CacheSizing, WindowBytes
from mlxd.worker.kv.state_snapshots import StateSnapshots
from mlxd.worker.runtime.adapters.model_stacks import ModelStacks
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.library_errors import in_a_line
from mlxd.worker.runtime.loading import DTYPES, LoadedModel
from mlxd.worker.runtime.paged.disk import Disk, OpenTier, open_disk
from mlxd.worker.runtime.paged.executor import PagedExecutor
from mlxd.worker.runtime.paged.launch import Launch, fastest_launch
from mlxd.worker.runtime.paged.layer_cache import NOT_IN_PLACE, NotPageableError, Written
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.probe import ProbeFailedError, Proof, probe
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.vision.encoder import Encoder

_log = logging.getLogger(__name__)

# Prompt tokens per step with nobody to disturb: as many as is efficient, for a request can be stopped only between two steps.
_LARGEST_CHUNK = {"cpu": 512, "gpu": 2048}


@dataclass(frozen=True)
class ProvedModel:
    """A model over a paged cache, and what it was proved by, which is still in its arenas."""

    model: PagedModel
    proof: Proof


def proved_model(loaded: LoadedModel, block_size: int, manners: Sequence[Manner] = tuple(Manner)) -> PagedModel:
    """Returns the model over a paged cache, after the probe; raises as ``prove_model``."""
    return prove_model(loaded, block_size, manners).model


def prove_model(loaded: LoadedModel, block_size: int, manners: Sequence[Manner] = tuple(Manner)) -> ProvedModel:
    """Returns the model over a paged cache, after the probe, in the first of ``manners`` in which it is right.

    Raises ``NotPageableError`` with the reason why it is not in the last one; the model is then as before.
    """
    *others, last = manners
    for manner in others:
        try:
            return _proved(loaded, block_size, manner)
        except NotPageableError as error:
            level = logging.WARNING if isinstance(error, ProbeFailedError) else logging.INFO
            _log.log(level, "not computed over a paged cache in the best manner (%s): %s", manner.told or "in place", error.message)
    return _proved(loaded, block_size, last)


def _proved(loaded: LoadedModel, block_size: int, manner: Manner) -> ProvedModel:
    model = PagedModel(loaded.model, Geometry(block_size, 1), fused=loaded.device == "gpu", manner=manner)
    try:
        with model.ways.observed():
            proof = probe(loaded, model)
    except NotPageableError:
        model.remove()
        raise
    except Exception as error:
        model.remove()
        raise NotPageableError(_reason(error)) from error
    return ProvedModel(model, proof)


def _reason(error: Exception) -> str:
    """Tells why a model could not be computed, from what it raised."""
    if isinstance(error, TypeError) and Written.__name__ in str(error):  # a function of MLX got one
        return NOT_IN_PLACE
    return f"its layers cannot compute over a paged cache ({in_a_line(error)})"


def paged_runner(  # noqa: PLR0913 - what it is made of
    loaded: LoadedModel,
    model: PagedModel,
    limits: ResolvedLimits,
    draft: DraftModel | None = None,
    open_tier: OpenTier | None = None,
    *,
    encoder: Encoder | None = None,
) -> PagedRunner:
    """Returns the runner over ``model``, a proved one, whose cache takes what ``limits`` allow; a ``draft`` model has its own keys and
    values in there, too, and one that sees the embeddings that its ``encoder`` makes. Blocks go to the disk that ``open_tier`` opens, if it
    is told.

    Raises ``ConfigError`` where that is next to nothing.
    """
    sizing = cache_sizing(loaded, model, draft)
    cache = (limits if encoder is None else limits.beside_media).cache_bytes
    sizes = sizing.sizes(cache, limits.max_sequences)
    _warn(loaded, limits, sizes.sequences, sizing.longest(cache, limits.max_sequences))
    disk = open_disk(model, limits.disk, open_tier, draft, [one.window for one in sizes.windows])
    geometry = Geometry(model.geometry.block_size, sizes.arena_blocks)
    model.resize(geometry, {one.window: Geometry(geometry.block_size, one.arena_blocks) for one in sizes.windows})
    if draft is not None:
        draft.resize(geometry)
    manager = _manager(model, sizing, sizes, disk)
    ahead = loaded.device == "gpu"
    launch = fastest_launch(model) if ahead else Launch.AT_ONCE
    executor = PagedExecutor(loaded, model, ahead=ahead, draft=draft, launch=launch, transfers=disk.transfers, encoder=encoder)
    budget = StepBudget(largest=_LARGEST_CHUNK[loaded.device])
    scheduler = Scheduler(
        manager,
        limits,
        budget,
        end_tokens=loaded.end_tokens,
        most_scored=executor.most_scored,
        speculation=_speculation(loaded, model, limits, draft),
        fetching=disk.fetching(manager, budget),
        seeing=None if encoder is None else MediaSeeing(encoder.embedding_bytes),
        adapters=AdapterStore(ModelStacks(model, DTYPES[loaded.dtype])),
    )
    return PagedRunner(scheduler, manager, executor, sizing, limits, disk.told, longest=loaded.context_length)


def cache_sizing(loaded: LoadedModel, model: PagedModel, draft: DraftModel | None = None) -> CacheSizing:
    """Returns how the cache is divided. A draft model keeps everything: it has its keys and values in the blocks of layers that do."""
    windows = tuple(WindowBytes(window, model.token_bytes_of(window)) for window in model.passable_windows(loaded.context_length))
    token_bytes = model.token_bytes - sum(one.token_bytes for one in windows) + (draft.token_bytes if draft else 0)
    return CacheSizing(model.geometry.block_size, token_bytes, model.states.bytes_per_sequence, windows)


def _manager(model: PagedModel, sizing: CacheSizing, sizes: CacheSizes, disk: Disk) -> Manager:
    """Returns who gives out the cache's blocks, in arenas as ``model`` has them by now."""
    return Manager(
        block_size=model.geometry.block_size,
        arena_blocks=sizes.arena_blocks,
        capacity=sizes.capacity,
        spare=sizes.spare,
        snapshots=StateSnapshots(sizes.snapshots) if model.states.exist else None,
        disk=disk.side,
        windows=sizes.windows,
        block_bytes=sizing.block_bytes,
    )


def _warn(loaded: LoadedModel, limits: ResolvedLimits, sequences: int, tokens: int) -> None:
    """Tells where the cache holds fewer sequences, or tokens of one, than there could be."""
    if sequences < limits.max_sequences:
        _log.warning(
            "cache.memory holds the recurrent states of %d sequences, less than batching.max_sequences of %d: no more run at once",
            sequences,
            limits.max_sequences,
        )
    if tokens < loaded.context_length:
        _log.warning("cache.memory holds %d tokens, less than the context of %d: longer prompts are refused", tokens, loaded.context_length)


def _speculation(loaded: LoadedModel, model: PagedModel, limits: ResolvedLimits, draft: DraftModel | None) -> Speculation | None:
    """Returns what guesses; None for a model with recurrent state: it cannot be rewound to a token, and what a wrong guess left stays."""
    if model.states.exist:
        return None
    drafter = ModelDrafter(draft.weight_bytes / max(1, loaded.weight_bytes)) if draft else None
    return Speculation(limits, [LookupDrafter(), RecyclingDrafter()], drafter)
