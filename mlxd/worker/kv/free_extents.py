"""Free blocks, kept as maximal contiguous ranges, so that a sequence gets as few runs as possible.

Segregated fits with boundary tags (Knuth, TAOCP 1, 2.5): ranges are found by size class and joined with their
neighbours by their ends, so every operation costs O(ranges touched), whatever the size of the pool.
"""

from mlxd.worker.kv.addresses import Addresses

GAP = 32  # blocks: room for a sequence to grow in one piece


class FreeExtents:
    """Disjoint ranges of block ids. Ranges are never joined across the end of an arena: blocks of two arenas are not
    neighbours in memory.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._end: dict[int, int] = {}  # start -> end (exclusive)
        self._start: dict[int, int] = {}  # end -> start
        self._classes: list[dict[int, None]] = []  # k -> starts of ranges with 2**k <= size < 2**(k+1), oldest first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ranges(self) -> list[range]:
        """Returns all ranges, in order of address."""
        return [range(start, self._end[start]) for start in sorted(self._end)]

    def add(self, start: int, end: int) -> None:
        """Adds blocks ``start`` to ``end`` (exclusive), of one arena. They must not be free already."""
        self._count += end - start
        if start in self._start and not self._addresses.is_first(start):
            start = self._remove(self._start[start]).start
        if end in self._end and not self._addresses.is_first(end):
            end = self._remove(end).stop
        self._insert(start, end)

    def take(self, n: int, after: int | None = None) -> list[range]:
        """Takes ``n`` blocks (``n <= len(self)``) in as few ranges as can be: first those right after block ``after``, then one range that
        holds the rest, else the largest ranges there are. Where there is room, a gap is left for whoever is before.
        """
        if n > self._count:
            raise ValueError(f"{n} blocks asked of {self._count} free ones")
        taken = []
        if after is not None and n and self.follow(after):
            taken.append(self._cut(after + 1, n))
            n -= len(taken[-1])
        while n:
            start = self._choose(n)
            taken.append(self._cut(start, n, self._gap(start, n)))
            n -= len(taken[-1])
        return taken

    def cut(self, blocks: range) -> None:
        """Takes exactly these blocks, all of them free and of one arena. It costs O(free blocks before them in their range)."""
        start = blocks.start
        while start not in self._end:
            start -= 1
        whole = self._remove(start)
        for rest in (range(whole.start, blocks.start), range(blocks.stop, whole.stop)):
            if rest:
                self._insert(rest.start, rest.stop)
        self._count -= len(blocks)

    @property
    def largest(self) -> int:
        """Returns how many blocks the largest range has; 0 where there is none. It costs O(ranges of its size class)."""
        return next((max(self._end[start] - start for start in starts) for starts in reversed(self._classes) if starts), 0)

    def follow(self, block: int) -> int:
        """Returns how many free blocks lie right after ``block``, in its arena."""
        return self._end[block + 1] - block - 1 if block + 1 in self._end and not self._addresses.is_first(block + 1) else 0

    def before(self, end: int) -> int:
        """Returns how many free blocks lie right before ``end``, in its arena where that is none's first."""
        return end - self._start[end] if end in self._start else 0

    def remove(self, blocks: range) -> None:
        """Forgets those of ``blocks``, the last ones of an arena, that are free."""
        for start in [start for start, end in self._end.items() if end > blocks.start and start < blocks.stop]:
            whole = self._remove(start)
            if start < blocks.start:
                self._insert(start, blocks.start)
            self._count -= whole.stop - max(start, blocks.start)

    def _choose(self, n: int) -> int:
        """Returns the start of a range that holds ``n`` blocks and a gap (the tightest class that surely does), else of a largest one."""
        surely = (n + GAP - 1).bit_length()
        for starts in self._classes[surely:]:
            if starts:
                return next(iter(starts))
        for starts in reversed(self._classes[:surely]):
            if starts:
                return next(iter(starts))
        raise AssertionError("the count of free blocks is wrong")

    def _gap(self, start: int, n: int) -> int:
        """Returns how many blocks to leave free at the front of a range.

        They are at most half of what is left over, and none where an arena begins.
        """
        return min(GAP, max(0, self._end[start] - start - n) // 2) if not self._addresses.is_first(start) else 0

    def _cut(self, start: int, n: int, gap: int = 0) -> range:
        """Takes up to ``n`` blocks of the range at ``start``, after ``gap`` others."""
        whole = self._remove(start)
        cut = whole[gap : gap + n]
        if gap:
            self._insert(whole.start, cut.start)
        if cut.stop < whole.stop:
            self._insert(cut.stop, whole.stop)
        self._count -= len(cut)
        return cut

    def _insert(self, start: int, end: int) -> None:
        self._end[start] = end
        self._start[end] = start
        size_class = (end - start).bit_length() - 1
        while len(self._classes) <= size_class:
            self._classes.append({})
        self._classes[size_class][start] = None

    def _remove(self, start: int) -> range:
        end = self._end.pop(start)
        del self._start[end]
        del self._classes[(end - start).bit_length() - 1][start]
        return range(start, end)
