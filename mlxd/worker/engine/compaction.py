"""Which blocks are moved together: those of a sequence in so many pieces that attending to them takes longer than it need."""

from collections.abc import Iterable

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.move import Move

_MANY_RUNS = 2  # a sequence in more pieces has its blocks moved together
_MANY_IN_WINDOW = 4  # pieces of a window, which falls to pieces as it moves on


class Compaction:
    """The moves of one step: of one sequence at most, for the runtime waits while it copies."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def moves(self, decoding: Iterable[Sequence]) -> list[Move]:
        """Returns what is to be moved of a sequence that is in too many pieces. It is one of those that get a token in this step: a plan
        that computes nothing is not launched, and its blocks would be found where nothing was copied to.
        """
        for sequence in decoding:
            for group, runs in enumerate(self._manager.run_counts(sequence.id)):
                if runs <= max(_MANY_IN_WINDOW if group else _MANY_RUNS, sequence.compact_at.get(group, 0)):
                    continue
                move = self._manager.move_private(sequence.id, group)
                sequence.compact_at[group] = runs + 1 if move is None else 0  # not again at every step
                if move is not None:
                    return [move]
        return []
