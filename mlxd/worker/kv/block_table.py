"""The blocks of one sequence, in order, as runs: attention reads a run as one slice of an arena, without a copy."""

from collections.abc import Iterable, Iterator

import msgspec

from mlxd.worker.kv.addresses import Addresses


class Run(msgspec.Struct, frozen=True, array_like=True):
    """The blocks ``start`` to ``stop`` (exclusive): neighbours in one arena."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))


class WindowRuns(msgspec.Struct, frozen=True, array_like=True):
    """What a sequence has of its blocks where layers see a window: all but the first ``passed``, run by run."""

    passed: int
    runs: tuple[Run, ...]


class BlockTable:
    """The blocks of a sequence: block ``i`` of the table holds tokens ``[i * block_size, (i + 1) * block_size)``. The first ``passed`` of
    them it has no more, for nobody looks back so far.

    A run is a maximal range of consecutive block ids within one arena.
    """

    def __init__(self, addresses: Addresses, passed: int = 0) -> None:
        self._addresses = addresses
        self._runs: list[range] = []
        self._passed = self._length = passed
        self._shown: tuple[Run, ...] | None = ()  # as ``runs``; None: to be made anew

    def __len__(self) -> int:
        """Returns how many blocks there are, those included that were passed."""
        return self._length

    def __iter__(self) -> Iterator[int]:
        for run in self._runs:
            yield from run

    @property
    def passed(self) -> int:
        """Returns how many blocks at its beginning it has no more."""
        return self._passed

    @property
    def held(self) -> int:
        """Returns how many blocks it has."""
        return self._length - self._passed

    @property
    def runs(self) -> tuple[Run, ...]:
        """Returns the blocks it has, as few runs as they make."""
        if self._shown is None:
            self._shown = tuple(Run(run.start, run.stop) for run in self._runs)
        return self._shown

    @property
    def window_runs(self) -> WindowRuns:
        """Returns the blocks it has, and how many were passed before them."""
        return WindowRuns(self._passed, self.runs)

    @property
    def last(self) -> int | None:
        """Returns the last block, or None when it has none."""
        return self._runs[-1][-1] if self._runs else None

    def extend(self, ranges: Iterable[range]) -> None:
        """Appends blocks; a range that continues the last run joins it."""
        self._shown = None
        for new in ranges:
            if not new:
                continue
            last = self._runs[-1] if self._runs else range(0)
            if last and last.stop == new.start and not self._addresses.is_first(new.start):
                self._runs[-1] = range(last.start, new.stop)
            else:
                self._runs.append(new)
            self._length += len(new)

    def append(self, block: int) -> None:
        self.extend([range(block, block + 1)])

    def block_at(self, index: int) -> int:
        """Returns the block id at ``index``. It costs O(runs). Raises ``IndexError`` where there is none."""
        left = index - self._passed
        for run in self._runs if left >= 0 else ():
            if left < len(run):
                return run[left]
            left -= len(run)
        raise IndexError(index)

    def truncate(self, length: int) -> list[int]:
        """Cuts the table to ``length`` blocks, of which none are those that were passed, and returns the blocks cut off, in order."""
        self._shown, length = None, max(length, self._passed)
        cut: list[range] = []
        while self._length > length:
            run = self._runs.pop()
            keep = max(0, len(run) - (self._length - length))
            cut.append(run[keep:])
            self._length -= len(run) - keep
            if keep:
                self._runs.append(run[:keep])
        return [block for run in reversed(cut) for block in run]

    def pass_by(self, length: int) -> list[int]:
        """Gives up the blocks before ``length``, and returns those that it had of them, in order."""
        gone: list[int] = []
        while self._passed < min(length, self._length):
            self._shown = None
            run = self._runs.pop(0)
            left = length - self._passed
            gone += run[:left]
            self._passed += len(run[:left])
            if run[left:]:
                self._runs.insert(0, run[left:])
        return gone
