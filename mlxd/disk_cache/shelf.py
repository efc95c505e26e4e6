"""The blocks of one identity in a directory, for the thread that writes them."""

from collections.abc import Callable, Sequence
from typing import Self

from typing_extensions import override

from mlxd.disk_cache import extent
from mlxd.disk_cache.catalogue import Catalogue
from mlxd.disk_cache.counts import Counts
from mlxd.disk_cache.directory import CacheDirectory, Terms
from mlxd.disk_cache.identity import DigestMemory, Identity
from mlxd.disk_cache.index import ExtentRow, NamedExtent
from mlxd.disk_cache.tier import Spilled

_LARGEST_EXTENT = 2**23  # bytes: what is given up, and what is read and written, at once
_LIMIT_SHARE = 16  # extents that a limit holds at least, where blocks are not larger
_BUDGET_SHARE = 4
_USES_AT_ONCE = 64  # rows of one transaction: what it changes must fit the margin of the limit


class _Memory(DigestMemory):
    """The digests that a directory's index knows."""

    def __init__(self, directory: CacheDirectory) -> None:
        self._directory = directory

    @override
    def known_digest(self, path: str, stamp: bytes) -> bytes | None:
        return self._directory.index.known_digest(path, stamp)

    @override
    def remember_digest(self, path: str, stamp: bytes, digest: bytes) -> None:
        with self._directory.index.transaction():
            self._directory.index.remember_digest(path, stamp, digest)


class Shelf:
    """An open directory, and what it holds of one identity. Raises what ``CacheDirectory`` does."""

    def __init__(self, directory: CacheDirectory, identity: bytes, model: str, counts: Counts) -> None:
        self.directory = directory
        self.identity = identity
        self.catalogue = Catalogue()
        self._counts = counts
        with directory.index.transaction():
            self._cache = directory.index.cache(identity, model)
            self._change = directory.index.change()
            named = directory.index.named(self._cache)
        self.catalogue.add(named)
        self.directory_size = directory.size()

    @classmethod
    def of(cls, directory: CacheDirectory, identity: Identity, model: str, counts: Counts, beat: Callable[[], None]) -> Self:
        """Returns the shelf of an identity, which may first have to be found out."""
        return cls(directory, identity.digest(_Memory(directory), beat), model, counts)

    def write(self, blocks: Sequence[Spilled], terms: Terms) -> None:
        """Writes blocks as one extent. Raises ``BudgetSpentError`` and ``TooLargeError`` too."""
        self._tell_uses()
        built = extent.build(blocks, self.identity)
        begun = self.directory.begin(self._cache, built.names, built.size, terms)
        self._gave_way(begun.evicted)
        try:
            files = self.directory.files
            files.resize(begun.descriptor, built.size)
            offset = 0
            for piece in built.pieces:
                files.write(begun.descriptor, piece, offset)
                offset += len(piece)
            size = self.directory.finish(begun)
        except BaseException:
            self.directory.abandon(begun)
            raise
        self._counts.add(written_blocks=len(blocks), written_bytes=built.size)
        if size is not None:
            self.catalogue.add([NamedExtent(begun.id, size, built.names)])

    def shrink(self, terms: Terms) -> None:
        """Removes what the limit, or the disk, has no room for any more."""
        self._gave_way(self.directory.shrink(terms))
        self.directory_size = self.directory.size()

    def remove(self, extents: Sequence[int]) -> None:
        """Removes extents that cannot be read."""
        self.directory.remove(extents)
        self.catalogue.drop(extents)

    def tend(self) -> None:
        """Tells the index what was of use, and learns what others did."""
        self._tell_uses()
        change = self.directory.index.change()
        if change != self._change:
            self.look()
            self._change = change
        self.directory_size = self.directory.size()

    def look(self) -> None:
        """Learns what extents there are."""
        index = self.directory.index
        there, known = index.whole(self._cache), self.catalogue.extents()
        self.catalogue.drop(known - there)
        if new := there - known:
            self.catalogue.add(index.named(self._cache, after=min(new) - 1))

    def _gave_way(self, extents: Sequence[ExtentRow]) -> None:
        self._counts.add(evicted_blocks=sum(row.blocks for row in extents))
        self.catalogue.drop(row.id for row in extents)

    def _tell_uses(self) -> None:
        while uses := self.catalogue.take_uses(_USES_AT_ONCE):
            with self.directory.index.transaction():
                self.directory.index.touch(uses)


def most_bytes(terms: Terms) -> int:
    """Returns how many bytes of blocks are written at once."""
    return min(_LARGEST_EXTENT, terms.limit // _LIMIT_SHARE, *([] if terms.budget is None else [terms.budget // _BUDGET_SHARE]))
