"""An mlx-lm model that computes a step's rows, whoever they belong to, over paged keys and values."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, CacheList, ChunkedKVCache, KVCache, RotatingKVCache, make_prompt_cache

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.lookup import CachedBlock
from mlxd.worker.kv.move import Move
from mlxd.worker.runtime.adapters.present_slots import PresentSlots
from mlxd.worker.runtime.paged.arena_memory import ArenaMemory
from mlxd.worker.runtime.paged.attention.placement import Placement
from mlxd.worker.runtime.paged.attention.plan import plan_groups
from mlxd.worker.runtime.paged.attention.row_split import decodes
from mlxd.worker.runtime.paged.attention.ways import Ways
from mlxd.worker.runtime.paged.calls import Call, Layout, WantedRows, calls
from mlxd.worker.runtime.paged.compiled.compiled_steps import CompiledSteps
from mlxd.worker.runtime.paged.copied_layer_cache import CopiedLayerCache
from mlxd.worker.runtime.paged.finite_blocks import not_finite_blocks, not_finite_snapshots
from mlxd.worker.runtime.paged.install import RowSelection, install_attention
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore, StoreKind
from mlxd.worker.runtime.paged.layer_cache import NotPageableError, PagedLayerCache, Step
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.rotary import SharedRotations
from mlxd.worker.runtime.paged.slots import Copy, Geometry
from mlxd.worker.runtime.paged.sparse_attention import narrowed
from mlxd.worker.runtime.paged.state_cache import SequenceStates, StateLayerCache
from mlxd.worker.runtime.vision.features import Shown
from mlxd.worker.runtime.vision.seeing_model import SeeingModel
from mlxd.worker.runtime.vision.sight import Sight, shows

NO_WINDOWS: Mapping[int, Geometry] = {}


@dataclass(frozen=True)
class TargetLogits:
    """The logits ``[N, vocab]`` of the ``N`` targets of ``chunks``, one chunk after the other."""

    chunks: tuple[Chunk, ...]
    rows: mx.array


@dataclass(frozen=True)
class Logits:
    """The logits of the sampled rows: ``sampled[i]`` is ``rows[i]``, of ``[S, vocab]``, those of one sequence in the order of its guesses;
    and those of targets.
    """

    sampled: tuple[SampledRow, ...]
    rows: mx.array
    targets: tuple[TargetLogits, ...] = ()


class PagedModel:
    """A model over paged keys and values. Without recurrent state it is called once a step, every token a row of the batch. With it, a
    sequence's tokens must come in order along the second axis: there is one call for all that decode, ``[B, 1]``, and one for each
    chunk, ``[1, n]``.
    """

    def __init__(self, model: Any, geometry: Geometry, *, fused: bool, manner: Manner = Manner.IN_PLACE) -> None:
        self.geometry = geometry
        self.window_geometries: tuple[Geometry, ...] = ()
        self.manner = manner
        self._model = model
        self._step = Step(Ways.of_device(geometry.block_size, fused=fused))
        self.layers: list[PagedLayerCache] = []
        self._memory = ArenaMemory(self.layers)
        state_layers: list[StateLayerCache] = []
        self._caches = [self._paged(cache, state_layers) for cache in make_prompt_cache(model)]
        self.states = SequenceStates(state_layers)
        self.layout = manner.layout(has_states=bool(state_layers))
        install_attention(model)
        self._selection = RowSelection(model)
        self._rotations = None if fused else SharedRotations(model, self._step)
        self.compiled: CompiledSteps | None = None  # None: every step is computed as it is
        self.slots = PresentSlots()
        self.sight = Sight() if isinstance(model, SeeingModel) else None  # None: it shows no pictures

    def resize(self, geometry: Geometry, windows: Mapping[int, Geometry] = NO_WINDOWS) -> None:
        """Changes to other arenas; everything in the old ones is forgotten. Layers that see one of ``windows``, in tokens, have blocks of
        their own, all others have the same. Chunks say what they have of each, in this order.
        """
        self.clear()
        self.geometry = geometry
        self.window_geometries = tuple(windows.values())
        if self.compiled is not None:
            self.compiled.clear()
        groups = {window: group for group, window in enumerate(windows, start=1)}
        for layer in self.layers:
            group = groups.get(layer.window or 0, 0)
            layer.empty((geometry, *self.window_geometries)[group].arena_slots, group)

    def store_as(self, kinds: Sequence[StoreKind]) -> None:
        """Changes how the layers store their keys and values, each in its own way; everything in their arenas is forgotten."""
        for layer, kind in zip(self.layers, kinds, strict=True):
            layer.kind = kind
        self.resize(self.geometry)

    def narrowed(self) -> AbstractContextManager[None]:
        """Lets it attend to so few tokens, where it selects them, that a short proof shows what they are."""
        return narrowed(self._model)

    def remove(self) -> None:
        """Leaves the model as mlx-lm made it."""
        self._selection.remove()
        if self._rotations is not None:
            self._rotations.remove()

    def forward(self, plan: StepPlan, tokens: mx.array) -> Logits:
        """Computes ``tokens`` ``[T]``, those of the chunks one after the other. What the plan moves has been moved."""
        outputs: list[Logits] = []
        for call in self._calls(plan.chunks):
            if outputs:  # what the call before has read is let go by now: else MLX copies each arena that this one writes to
                mx.async_eval(outputs[-1].rows, *self.tensors())  # type: ignore[no-untyped-call]  # mlx ships no types
            outputs.append(self._call(call, tokens))
        if len(outputs) == 1:
            return outputs[0]
        targets = tuple(one for output in outputs for one in output.targets)
        parts = [output for output in outputs if output.sampled]
        return Logits(tuple(row for part in parts for row in part.sampled), _concatenated([part.rows for part in parts]), targets)

    def tensors(self) -> list[mx.array]:
        """Returns whatever the last call changed, to be evaluated with its results."""
        return [tensor for layer in self.layers for tensor in layer.store.tensors()] + self.states.take_tensors()

    def not_finite(self, cached: Sequence[CachedBlock]) -> frozenset[int]:
        """Returns those of ``cached`` that hold anything that is NaN or infinite. It reads them all, which only a fault is worth."""
        snapshots = {one.block: self.states.snapshot(one.snapshot) for one in cached if one.snapshot is not None}
        found = not_finite_blocks([one.block for one in cached], self.stores_of(0), self.geometry) | not_finite_snapshots(snapshots)
        for at, geometry in enumerate(self.window_geometries):
            beside = {block: one.block for one in cached if (block := one.windows[at]) is not None}
            found |= {beside[block] for block in not_finite_blocks(list(beside), self.stores_of(1 + at), geometry)}
        return found

    def keep(self, arenas: tuple[Arena, ...], windows: Sequence[tuple[Arena, ...]] = ()) -> None:
        """Makes arenas as large as it is told, and gives back the memory of all others. ``windows`` are those of layers whose blocks are
        their own.
        """
        self._memory.keep((arenas, *windows), self.geometry.block_size)

    def copies_for(self, plan: StepPlan) -> bool:
        """Tells whether anything is to be copied before ``plan`` can be computed: blocks, or arenas that change."""
        return bool(plan.moves) or self._memory.changes_for(plan)

    @property
    def is_growing(self) -> bool:
        """Tells whether some layers' arenas are not yet as large as it was told."""
        return self._memory.is_growing

    def keep_for(self, plan: StepPlan) -> None:
        """Does the same as far as ``plan`` needs it: arenas that grow may be as they were where nobody comes to what is new of them. What
        is compiled is so for arenas of one size, so all layers have the same then.
        """
        if self.compiled is None:
            self._memory.keep_for(plan, self.geometries)
        else:
            self.keep(plan.arenas, plan.window_arenas)

    def move(self, moves: Sequence[Move]) -> None:
        """Copies what blocks hold to others."""
        for move in moves:
            copy = Copy.of(move, (self.geometry, *self.window_geometries)[move.group])
            for layer in self.layers:
                if layer.group == move.group:
                    layer.store.copy(copy)

    def clear(self) -> None:
        """Forgets all keys, values and states."""
        self._memory.clear()
        self.states.clear()

    def reset(self) -> None:
        """Forgets all keys, values and states after a fault."""
        if self.compiled is not None:
            self.compiled.distrust()
        self.clear()

    def adapters_changed(self) -> None:
        """Takes in that a slot has another adapter now, or none: what was compiled with them has what they were."""
        if self.compiled is not None:
            self.compiled.forget_adapted()

    @property
    def callable_model(self) -> Any:
        """Returns the whole, which is called with tokens ``[B, n]`` and mlx-lm's caches."""
        return self._model

    @property
    def language_model(self) -> Any:
        """Returns the part that is a model of text."""
        return self._model.language_model if isinstance(self._model, SeeingModel) else self._model

    @property
    def ways(self) -> Ways:
        """Returns the ways it has to attend."""
        return self._step.ways

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """Returns the sizes of each group's arenas."""
        return (self.geometry, *self.window_geometries)

    @property
    def stores(self) -> list[KeyValueStore]:
        """Returns the keys and values of each layer that has any."""
        return [layer.store for layer in self.layers]

    def stores_of(self, group: int) -> list[KeyValueStore]:
        """Returns the keys and values of each layer of a group."""
        return [layer.store for layer in self.layers if layer.group == group]

    @property
    def kv_type(self) -> str:
        """Returns what its keys and values are stored as, of all layers that have any; empty: as they are computed."""
        names = [layer.kind.name for layer in self.layers]
        return ",".join(names) if any(names) else ""

    @property
    def windows(self) -> set[int]:
        """Returns the sizes of the model's sliding windows, in tokens."""
        return {layer.window for layer in self.layers if layer.window}

    def passable_windows(self, context: int) -> tuple[int, ...]:
        """Returns the windows that a sequence of ``context`` tokens outgrows: layers that see one of them need not keep everything."""
        return tuple(sorted(window for window in self.windows if window < context))

    @property
    def nbytes(self) -> int:
        """Returns the bytes that are allocated for keys and values."""
        return sum(layer.store.nbytes for layer in self.layers)

    @property
    def token_bytes(self) -> int:
        """Returns the bytes of one token's keys and values, all layers together.

        It is 0 before anything was computed, or where no layer has any.
        """
        return sum(layer.store.token_bytes for layer in self.layers)

    def token_bytes_of(self, window: int) -> int:
        """Returns the bytes of one token's keys and values in the layers that see this window."""
        return sum(layer.store.token_bytes for layer in self.layers if layer.window == window)

    # ---- calls ----

    def _calls(self, chunks: Sequence[Chunk]) -> Iterator[Call]:
        for call in calls(chunks, self.layout):
            yield from [call] if call.one_row or not self.states.exist else call.split(self.states.stackable(call.sequences))

    def compile(self) -> CompiledSteps:
        """Lets steps in which all rows are newest tokens be compiled functions from now on. Raises ``ValueError`` where rows are
        no tokens.
        """
        if self.layout is not Layout.TOKENS:
            raise ValueError("only steps whose rows are tokens are compiled")
        self.compiled = CompiledSteps(self._computed, self._step, self.layers, self.slots)
        return self.compiled

    def _call(self, call: Call, tokens: mx.array) -> Logits:
        found = self._compiled_call(call, tokens)
        if found is not None:
            return found
        self._begin_states(call)
        self._step.begin(*plan_groups(self._placed(call.placed), one_row=call.one_row))
        everything = len(call.rows) == tokens.shape[0]
        inputs = tokens if everything else tokens[mx.array(call.rows)]
        rows = WantedRows.of(call.chunks)
        shown = self.sight.shown(call.placed, one_row=call.one_row) if self.sight else None
        logits = self._select(self._model_call(inputs[None] if call.one_row else inputs[:, None], rows, call.slots, shown), rows)
        self._end_states(call)
        if not rows.targets:
            return Logits(call.sampled, logits)
        asking = tuple(chunk for chunk in call.chunks if chunk.targets)
        return Logits(call.sampled, _taken(logits, rows.sampled), (TargetLogits(asking, _taken(logits, rows.targets)),))

    def _computed(self, tokens: mx.array, shown: Shown | None = None) -> mx.array:
        """Returns the logits ``[N, vocab]`` of tokens ``[B, n]``: of those that are selected, where some are."""
        logits: mx.array = self._model(tokens, cache=self._caches, **({} if shown is None else {"shown": shown}))
        return logits.reshape(-1, logits.shape[-1])

    def _model_call(self, inputs: mx.array, rows: WantedRows, slots: Sequence[int], shown: Shown | None) -> mx.array:
        self._selection.rows = None if len(rows.selected) == rows.count else mx.array(rows.selected or [0])
        self.slots.begin(slots, None if self._selection.rows is None else rows.selected or [0])
        try:
            return self._computed(inputs, shown)
        finally:
            self._selection.rows = None  # whoever calls the model next has other rows
            self.slots.end()
            for layer in self.layers:
                layer.release()

    def _select(self, logits: mx.array, rows: WantedRows) -> mx.array:
        """Returns the selected rows ``[S, vocab]``, whether or not the model's output projection was found and has selected them."""
        if not rows.selected:
            return logits[:0]  # never computed: nobody uses them
        return logits[mx.array(rows.selected)] if logits.shape[0] == rows.count != len(rows.selected) else logits

    def _compiled_call(self, call: Call, tokens: mx.array) -> Logits | None:
        """Returns the logits of a step that is a compiled function; None where it is none."""
        if self.compiled is None or not all(map(_is_newest, call.chunks)):
            return None
        logits = self.compiled.logits(self._placed(call.chunks), tokens, self._memory.told, call.slots)
        if logits is None:
            return None
        return Logits(call.sampled, _taken(logits, WantedRows.of(call.chunks).selected))

    def _begin_states(self, call: Call) -> None:
        if not self.states.exist:
            return
        for chunk in call.chunks:
            if chunk.resume is not None or not chunk.start:
                self.states.begin(chunk.sequence, chunk.resume)
        self.states.load(call.sequences)

    def _end_states(self, call: Call) -> None:
        if not self.states.exist:
            return
        self.states.save(call.sequences)
        for chunk in call.chunks:
            if chunk.keep is not None:
                self.states.keep(chunk.sequence, chunk.keep)

    def _placed(self, chunks: Sequence[Chunk]) -> tuple[Placement, ...]:
        return Placement.of(chunks, self.geometry, self.window_geometries)

    def _paged(self, cache: Any, state_layers: list[StateLayerCache]) -> Any:
        """Returns what stands for one of mlx-lm's layer caches. Raises ``NotPageableError`` for one that cannot be paged."""
        if type(cache) is CacheList:
            return CacheList(*(self._paged(part, state_layers) for part in cache.caches))
        if type(cache) is ArraysCache:
            state_layers.append(StateLayerCache(len(cache.cache)))
            return state_layers[-1]
        if type(cache) is KVCache:
            return self._layer(None)
        if type(cache) is RotatingKVCache and not cache.keep:
            return self._layer(cache.max_size)
        if type(cache) is ChunkedKVCache and self.manner is Manner.ALONE:
            return self._layer(cache.chunk_size)
        raise NotPageableError(f"a layer of this model keeps a {type(cache).__name__}, which cannot be paged")

    def _layer(self, window: int | None) -> PagedLayerCache:
        slots = self.geometry.arena_slots
        in_place = self.manner is Manner.IN_PLACE
        self.layers.append(
            PagedLayerCache(self._step, slots, window) if in_place else CopiedLayerCache(self._step, slots, window, self.manner)
        )
        return self.layers[-1]


def _is_newest(chunk: Chunk) -> bool:
    """Tells whether the chunk is the newest token of a sequence that has others, and guesses of what follows it, all of it text."""
    return decodes(chunk) and chunk.start > 0 and not chunk.targets and not shows(chunk)


def _concatenated(parts: list[mx.array]) -> mx.array:
    return mx.concatenate(parts, axis=0) if parts else mx.zeros((0, 1))


def _taken(logits: mx.array, places: list[int]) -> mx.array:
    """Returns the rows at ``places``; where they lie side by side, without a copy."""
    if not places:
        return logits[:0]
    first, last = places[0], places[-1]
    return logits[first : last + 1] if last - first + 1 == len(places) else logits[mx.array(places)]
