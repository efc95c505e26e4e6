"""Sequences that wait for blocks that are on disk, while others run."""

from collections.abc import Iterable
from collections.abc import Sequence as List
from functools import partial
from itertools import islice

from typing_extensions import override

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.engine.transfers import FetchChoice, SpillPace, Transfers
from mlxd.worker.kv.addresses import neighbours
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.disk_side import DiskSide
from mlxd.worker.kv.lookup import Lookup
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.transfers import Fetch, Spill

_AHEAD = 4  # of those that wait, how many are read for before there is a place for them
_FIRST_REST, _LONGEST_REST = 0.02, 2.0  # seconds between two looks whether the disk takes more
_ALL = 2**62  # bytes
_TRIES = 2  # reads for one sequence while it waits: where there was no room for what came, it is asked for again


class Fetching:
    """What there is to decide about a cache without a disk: nothing is written, and nobody waits."""

    @property
    def is_reading(self) -> bool:
        """Tells whether anybody waits for a read."""
        return False

    @property
    def rest(self) -> float | None:
        """Returns the seconds after which there may be something to write, with no request about; None where there is nothing."""
        return None

    def arrived(self, *, is_alone: bool) -> tuple[Fetch, ...]:  # noqa: ARG002
        """Returns what has come from disk, for blocks that others find from now on; no more of it than others that run can bear, unless it
        ``is_alone``. What there is no room for is let go.
        """
        return ()

    def awaits(self, sequence: Sequence) -> bool:  # noqa: ARG002
        """Tells whether a sequence waits for a read."""
        return False

    def begins(self, sequence: Sequence, lookup: Lookup) -> bool:  # noqa: ARG002
        """Begins to read what is on disk of a sequence that would begin with ``lookup``, if it is worth it, and tells whether so."""
        return False

    def used(self, sequence: Sequence, lookup: Lookup) -> int:  # noqa: ARG002
        """Returns how many of the tokens that a sequence begins with came from disk for it."""
        return 0

    def ahead(self, waiting: Iterable[Sequence]) -> None:
        """Begins to read for those that are next, whether or not there is a place for them yet."""

    def planned(self, digests: Iterable[bytes]) -> None:
        """Takes in that blocks are computed in the step that is being planned."""

    def forget(self, request_id: str) -> None:
        """Takes in that a sequence is over, or waits no more."""

    def spills(self, seconds: float, *, is_idle: bool) -> tuple[Spill, ...]:  # noqa: ARG002
        """Returns the blocks that are to be copied out of the cache in a step that takes so many ``seconds``."""
        return ()

    def observe(self, transfers: Transfers) -> None:
        """Learns from what a step copied."""


class DiskFetching(Fetching):
    """What is decided about a cache's disk, step by step: what is written, and who waits for what is read."""

    def __init__(self, manager: Manager, disk: DiskSide, budget: StepBudget) -> None:
        self._manager = manager
        self._disk = disk
        self._sides = (disk, *disk.beside)  # one for each group of layers
        self._budget = budget
        self._choice = FetchChoice()
        self._pace = SpillPace(disk.block_bytes)
        self._rest = 0.0

    @property
    @override
    def is_reading(self) -> bool:
        return any(side.recall.is_reading for side in self._sides)

    @property
    @override
    def rest(self) -> float | None:
        return self._rest if any(side.spilling.wanted or side.spilling.leaving for side in self._sides) else None

    @override
    def arrived(self, *, is_alone: bool) -> tuple[Fetch, ...]:
        fetches, left = [], _ALL if is_alone else self._choice.bearable()
        for side in self._sides:
            for recalled in side.recall.take(left) if left > 0 else ():
                left -= recalled.size
                self._choice.observe_read(recalled.seconds, recalled.size)
                fetch = self._manager.restore(recalled, side.group)
                if fetch is not None:
                    fetches.append(fetch)
        return tuple(fetches)

    @override
    def awaits(self, sequence: Sequence) -> bool:
        return any(side.recall.awaits(sequence.id) for side in self._sides)

    @override
    def used(self, sequence: Sequence, lookup: Lookup) -> int:
        return self._disk.use(sequence.chain.digests[: len(lookup.blocks)], self._manager.block_size)

    @override
    def ahead(self, waiting: Iterable[Sequence]) -> None:
        for sequence in islice(waiting, _AHEAD):
            if not sequence.is_asked:
                sequence.is_asked = True
                self.begins(sequence, self._manager.lookup(sequence.chain, sequence.tokens))

    @override
    def planned(self, digests: Iterable[bytes]) -> None:
        for side in self._sides:
            side.planned(digests)

    @override
    def begins(self, sequence: Sequence, lookup: Lookup) -> bool:
        if lookup.computing is not None or sequence.lacks_scores or sequence.recalls >= _TRIES:
            return False
        depth, lacked = self._lacked(sequence, lookup)
        size = sum(side.block_bytes * len(blocks) for side, blocks in zip(self._sides, lacked, strict=True))
        if not size or any(len(blocks) > group.pool.available for group, blocks in zip(self._manager.groups, lacked, strict=True)):
            return False
        computed = (depth - len(lookup.blocks)) * self._manager.block_size
        if not self._choice.pays(size, self._budget.seconds(StepShape(prompts=1, prefill_tokens=computed))):
            return False
        sequence.recalls += 1
        holder = sequence.request.holder
        self._disk.renew(lookup.blocks, self._manager.pool, holder)
        for side, blocks in zip(self._sides, lacked, strict=True):
            for run in neighbours(blocks):
                side.recall.begin(sequence.id, sequence.chain, run.start, run.stop, holder)
        return True

    def _lacked(self, sequence: Sequence, lookup: Lookup) -> tuple[int, list[list[int]]]:
        """Returns the deepest beginning, in blocks, of which disk and memory together have all, and for each group of layers the blocks of
        it that memory lacks.
        """
        chain, size = sequence.chain, self._manager.block_size
        first = lookup.known_tokens // size
        depth = first + self._disk.recall.stored(chain, first, (len(sequence.tokens) - 1) // size)
        while depth > len(lookup.blocks):
            lacked = [[at for at in group.seen_at(depth) if group.find(chain, at) is None] for group in self._manager.windows]
            gaps = [self._last_gap(chain, side, blocks) for side, blocks in zip(self._sides[1:], lacked, strict=True)]
            if not any(gaps):
                return depth, [list(range(first, depth)), *lacked]
            depth = min(gap - 1 for gap in gaps if gap)
        return 0, [[] for _ in self._sides]

    @staticmethod
    def _last_gap(chain: BlockChain, side: DiskSide, blocks: List[int]) -> int:
        """Returns how many blocks there are up to the last of ``blocks`` that is not on disk either; 0 where all are."""
        return next((at + 1 for at in reversed(blocks) if not side.recall.stored(chain, at, at + 1)), 0)

    @override
    def forget(self, request_id: str) -> None:
        for side in self._sides:
            side.recall.forget(request_id)

    @override
    def spills(self, seconds: float, *, is_idle: bool) -> tuple[Spill, ...]:
        leaving = sum(side.spilling.leaving for side in self._sides)
        wanted = sum(side.spilling.wanted for side in self._sides)
        most = self._pace.idle() if is_idle else self._pace.blocks(seconds, leaving=leaving, wanted=wanted)
        taken: list[Spill] = []
        left = most * self._disk.block_bytes
        for side in self._sides:
            found = side.take(left, partial(self._manager.find, group=side.group))
            left -= len(found) * side.block_bytes
            taken += found
        self._rest = 0.0 if taken or not is_idle else min(_LONGEST_REST, 2 * self._rest or _FIRST_REST)
        return tuple(taken)

    @override
    def observe(self, transfers: Transfers) -> None:
        self._choice.observe(transfers)
        self._pace.observe(transfers)
