"""Recurrent state (convolution, SSM, linear attention) of each sequence, in the layers that have any.

A layer's state is a few arrays ``[1, ...]`` for each sequence. For a decode step those of all its sequences are stacked to
``[B, ...]``, and stay stacked as long as the same sequences decode together.
"""

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache

Stacked = tuple[str, ...]  # sequences whose states are stacked, in this order
State = list[list[mx.array | None]]  # layer by layer, the arrays of a stack, ``[B, ...]``


class StateLayerCache(ArraysCache):  # type: ignore[misc]  # mlx-lm ships no types
    """What an mlx-lm model takes for a recurrent layer's cache; holds the states of the rows of the present call."""


class SequenceStates:
    """The states of all sequences of one model. ``layers`` are its recurrent ones, in order; there may be none."""

    def __init__(self, layers: Sequence[StateLayerCache]) -> None:
        self._layers = layers
        self._stacks: dict[Stacked, State] = {}
        self._stack_of: dict[str, Stacked] = {}
        self._snapshots: dict[int, State] = {}
        self._new: list[State] = []  # snapshots whose copying is not launched yet
        self._nbytes = 0  # of stacks, and of snapshots: counted, for they are asked for at every step
        self._snapshot_nbytes = 0

    @property
    def exist(self) -> bool:
        """Tells whether the model has any."""
        return bool(self._layers)

    def begin(self, sequence: str, snapshot: int | None) -> None:
        """Lets the sequence's next call begin with ``snapshot``, or with no state at all. The snapshot itself is never written to: models
        replace the arrays of a state, they do not change them.
        """
        self.forget(sequence)
        if snapshot is not None:
            self._put((sequence,), self._snapshots[snapshot])

    def stackable(self, sequences: Stacked) -> list[Stacked]:
        """Returns the sequences in groups whose states can be stacked: those of some models grow with their first tokens."""
        if sequences in self._stacks:
            return [sequences]
        found: dict[object, list[str]] = {}
        for sequence in sequences:
            found.setdefault(self._shape(sequence), []).append(sequence)
        return [tuple(group) for group in found.values()]

    def load(self, sequences: Stacked) -> None:
        """Gives the layers the states of ``sequences``, one for each row of the call to come."""
        state = self._stacks.get(sequences)
        if state is None:
            alone = [self._take_out(sequence) for sequence in sequences]
            parts = [len(layer.cache) for layer in self._layers]
            state = [[_stack([one[index][part] if one else None for one in alone]) for part in range(n)] for index, n in enumerate(parts)]
        for layer, arrays in zip(self._layers, state, strict=True):
            layer.cache = list(arrays)

    def save(self, sequences: Stacked) -> None:
        """Takes what the layers hold after the call for the states of ``sequences``."""
        self._put(sequences, [list(layer.cache) for layer in self._layers])

    def keep(self, sequence: str, snapshot: int) -> None:
        """Remembers a copy of a sequence's state: a slice would keep the states of the whole batch alive."""
        together = self._stack_of[sequence]
        row = _row(self._stacks[together], together.index(sequence))
        copied: State = [[None if part is None else mx.contiguous(part) for part in layer] for layer in row]
        self.drop([snapshot])
        self._snapshots[snapshot] = copied
        self._snapshot_nbytes += _size(copied)
        self._new.append(copied)

    def snapshot(self, snapshot: int) -> list[mx.array]:
        """Returns the arrays of a snapshot, all layers together; none for one that was never taken."""
        return _arrays([self._snapshots.get(snapshot, [])])

    def drop(self, snapshots: Sequence[int]) -> None:
        """Lets go of snapshots; those never taken are ignored."""
        for snapshot in snapshots:
            self._snapshot_nbytes -= _size(self._snapshots.pop(snapshot, []))

    def forget(self, sequence: str) -> None:
        """Drops the state of a sequence that is over, or begins anew."""
        self._take_out(sequence)

    def clear(self) -> None:
        """Forgets all states and snapshots."""
        self._stacks, self._stack_of, self._snapshots, self._new = {}, {}, {}, []
        self._nbytes = self._snapshot_nbytes = 0
        for layer in self._layers:
            layer.cache = [None] * len(layer.cache)

    def take_tensors(self) -> list[mx.array]:
        """Returns what must be evaluated with the step: else graphs would grow from one to the next."""
        states, self._new = [*self._stacks.values(), *self._new], []
        return _arrays(states)

    @property
    def nbytes(self) -> int:
        """Returns the bytes that sequences hold. It takes O(1)."""
        return self._nbytes

    @property
    def snapshot_nbytes(self) -> int:
        """Returns the bytes that snapshots hold. It takes O(1)."""
        return self._snapshot_nbytes

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless what is counted is what is held. It takes O(everything), and is for tests."""
        assert self._nbytes == sum(map(_size, self._stacks.values())), "states are counted wrongly"
        assert self._snapshot_nbytes == sum(map(_size, self._snapshots.values())), "snapshots are counted wrongly"
        assert {sequence for together in self._stacks for sequence in together} == self._stack_of.keys(), "a state is nobody's"

    @property
    def bytes_per_sequence(self) -> int:
        """Returns the bytes of one state; 0 before any was computed."""
        together, state = next(iter(self._stacks.items()), ((), []))
        return _size(state) // max(len(together), 1)

    def _shape(self, sequence: str) -> object:
        together = self._stack_of.get(sequence)
        if together is None:
            return None
        return tuple(None if part is None else part.shape[1:] for layer in self._stacks[together] for part in layer)

    def _put(self, sequences: Stacked, state: State) -> None:
        self._nbytes += _size(state) - _size(self._stacks.get(sequences, []))
        self._stacks[sequences] = state
        for sequence in sequences:
            self._stack_of[sequence] = sequences

    def _take_out(self, sequence: str) -> State | None:
        """Returns the state of one sequence, whose stack is broken up; None if it has none."""
        together = self._stack_of.pop(sequence, None)
        if together is None:
            return None
        state = self._stacks.pop(together)
        self._nbytes -= _size(state)
        for position, other in enumerate(together):
            if other != sequence:
                self._put((other,), _row(state, position))
        return _row(state, together.index(sequence))


def _row(state: State, position: int) -> State:
    """Returns the state of one sequence of a stack, as views."""
    row = slice(position, position + 1)
    return [[None if part is None else part[row] for part in layer] for layer in state]


def _stack(parts: list[mx.array | None]) -> mx.array | None:
    """Stacks parts ``[1, ...]`` to ``[B, ...]``; one that is not there yet is zero, as models take it. None means that none is there."""
    known = [part for part in parts if part is not None]
    if len(parts) == 1 or not known:
        return known[0] if known else None
    return mx.concatenate([mx.zeros_like(known[0]) if part is None else part for part in parts], axis=0)


def _size(state: State) -> int:
    """Returns how many bytes a state takes."""
    return sum(part.nbytes for layer in state for part in layer if part is not None)


def _arrays(states: Sequence[State]) -> list[mx.array]:
    return [part for state in states for layer in state for part in layer if part is not None]
