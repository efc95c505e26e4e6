"""Decode steps, compiled: the forward pass of rows that are newest tokens, one function for each shape of their arrays.

What a step costs in Python is then the making of a few small arrays, and MLX's own copy of the graph it knows: 2 ms for 30 layers on
a CPU where 5 to 10 were, whatever the rows. MLX traces the function once for a shape (50 ms there), joins what is computed twice, and fuses
operations of single elements: 3,087 operations instead of 5,027 for those 30 layers. On a CPU the system's C++ compiler makes a kernel of
each kind of fused operations, in about a second, and keeps it on disk; where there is no compiler, MLX calls the function as it is.

Arenas are inputs and outputs. As inside a plain step, MLX writes into the buffer it is given as long as nothing else holds it: so they
are taken out of their stores for the call. What a function uses and is not given, the weights, are constants of it, and not copied.

MLX keeps what it traced for as long as there is the function, shape by shape; so each has one of its own, and the oldest go.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.runtime.adapters.present_slots import PresentSlots
from mlxd.worker.runtime.library_errors import in_a_line
from mlxd.worker.runtime.paged.attention.attention import Attention
from mlxd.worker.runtime.paged.attention.placement import Placement
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.compiled.step_arrays import Bucket, StepArrays, View
from mlxd.worker.runtime.paged.compiled.traced_plan import NotByArraysError, StepInputs, TracedPlan, UnknownViewError
from mlxd.worker.runtime.paged.layer_cache import PagedLayerCache, Step
from mlxd.worker.runtime.paged.positions import Positions

_EVERYTHING = View(group=0, window=None)
_MOST_KEPT = 64  # functions: eleven of 30 layers took no memory that could be seen from outside

_log = logging.getLogger(__name__)

Function = Callable[[list[mx.array], list[mx.array]], tuple[mx.array, list[mx.array]]]


@dataclass(frozen=True)
class _Key:
    """What makes a function another one: the shape of its arrays, and how rows attend in each view."""

    bucket: Bucket
    ways: tuple[Attention, ...]


@dataclass(frozen=True)
class _Present:
    """The step for which a function is being called. A function outlives the step it was traced for: what is no array it finds here.
    ``arenas`` are, of each group of layers, those that the step has to do with.
    """

    arenas: tuple[tuple[int, ...], ...]
    layers: Sequence[PagedLayerCache]
    placements: Sequence[Placement]

    def lend(self) -> list[mx.array]:
        return [tensor for layer in self.layers for tensor in layer.store.lend(self.arenas[layer.group])]

    def give_back(self, tensors: Iterable[mx.array]) -> None:
        left = iter(tensors)
        for layer in self.layers:
            layer.store.give_back(self.arenas[layer.group], left)


class CompiledSteps:
    """The compiled steps of one model. ``call`` computes the logits ``[rows, vocab]`` of tokens ``[rows, 1]``, by the plan of ``step``.

    A model that cannot be compiled loses nothing: the plain step computes what this one did not, and ``trouble`` says why.
    """

    def __init__(self, call: Callable[[mx.array], mx.array], step: Step, layers: Sequence[PagedLayerCache], slots: PresentSlots) -> None:
        self.trouble: str | None = None
        self.traced = 0  # functions, ever
        self._call = call
        self._step = step
        self._layers = layers
        self._slots = slots
        self._views = [_EVERYTHING]
        self._functions: OrderedDict[_Key, Function] = OrderedDict()
        self._plain: set[_Key] = set()
        self._present: _Present | None = None
        self._is_new = False  # the function called last, which was never called before

    def logits(
        self, placements: Sequence[Placement], tokens: mx.array, arenas: Sequence[Sequence[Arena]], slots: Sequence[int] = ()
    ) -> mx.array | None:
        """Returns the logits ``[T, vocab]`` of ``tokens`` ``[T]``, the newest ones of their sequences; None where the step is to be
        computed as it is, and nothing has happened. ``arenas`` are, of each group of layers, those that may not have all their blocks;
        ``slots`` those of the tokens' adapters.
        """
        slots = slots if any(slots) else ()
        while self.trouble is None:
            try:
                return self._logits(placements, tokens, arenas, slots)
            except UnknownViewError as error:
                self._views.append(error.view)
            except Exception as error:  # noqa: BLE001 - whatever a model raises when it is traced
                self.give_up(f"it cannot be compiled ({in_a_line(error)})")
        return None

    def clear(self) -> None:
        """Forgets all functions: arenas are of another size now, or layers lie in others."""
        self._views = [_EVERYTHING]
        self._functions.clear()
        self._plain.clear()
        self._is_new = False

    def forget_adapted(self) -> None:
        """Forgets the functions of steps with adapters, which are constants of theirs: others are loaded now."""
        for key in [key for key in self._functions if key.bucket.has_adapters]:
            del self._functions[key]

    def give_up(self, trouble: str) -> None:
        """Compiles nothing any more, for this reason."""
        self.trouble = trouble
        self.clear()
        _log.warning("decode steps are not compiled: %s", trouble)

    def distrust(self) -> None:
        """Deals with a fault that may have been of the last step: nothing is compiled any more if its function was new."""
        if self._is_new:
            self.give_up("the first step of a shape could not be computed")

    def _logits(
        self, placements: Sequence[Placement], tokens: mx.array, arenas: Sequence[Sequence[Arena]], slots: Sequence[int]
    ) -> mx.array | None:
        step = StepArrays.of(placements, tokens, self._views, arenas, slots)
        key = _Key(step.bucket, tuple(self._way(placements[view.group], view.window) for view in self._views))
        if key in self._plain:
            return None
        function = self._functions.pop(key, None)
        self._is_new = function is None
        self._present = _Present(step.arenas, [layer for layer in self._layers if layer.store.count], placements)
        function = function or self._compiled(step.bucket)
        try:
            logits = self._run(function, step.arrays, self._present)
        except NotByArraysError:
            self._plain.add(key)
            return None
        self._keep(key, function)
        return logits if step.count == logits.shape[0] else logits[: step.count]

    def _keep(self, key: _Key, function: Function) -> None:
        self._functions[key] = function
        if len(self._functions) > _MOST_KEPT:
            self._functions.popitem(last=False)

    def _way(self, placement: Placement, window: int | None) -> Attention:
        return self._step.ways.of(AttentionPlan(placement.chunks, placement.geometry, Positions(()), window))

    @staticmethod
    def _run(function: Function, arrays: list[mx.array], present: _Present) -> mx.array:
        """Calls the function with the arenas of the step, which are back in their stores afterwards, whatever happens."""
        tensors = present.lend()
        try:
            logits, tensors = function(arrays, tensors)
        finally:
            present.give_back(tensors)
        return logits

    def _compiled(self, bucket: Bucket) -> Function:
        """Returns the function of all steps of a shape, which is traced when it is first called."""
        is_traced = False

        def function(arrays: list[mx.array], tensors: list[mx.array]) -> tuple[mx.array, list[mx.array]]:
            nonlocal is_traced
            present = self._present
            if is_traced or present is None:
                raise RuntimeError("MLX compiles nothing here")
            is_traced = True
            self.traced += 1
            inputs = StepInputs.of(arrays, bucket, present.arenas, present.placements[0].geometry.block_size)
            self._step.begin(*(TracedPlan(one, inputs, View(group, None)) for group, one in enumerate(present.placements)))
            present.give_back(tensors)
            if inputs.slots is not None:
                self._slots.begin_traced(inputs.slots)
            try:
                return self._call(inputs.tokens[:, None]), present.lend()
            except BaseException:
                present.lend()
                raise
            finally:
                self._slots.end()

        compiled: Function = mx.compile(function)
        return compiled
