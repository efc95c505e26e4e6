"""A directory that holds the blocks of all models of all daemons that name it, and never takes more than its limit.

::

    CACHEDIR.TAG       backups pass by, and mlxd knows that the directory is its own
    index.sqlite       index.py
    extents/N.extent   extent.py; N is its number in the index

What an extent will take is noted before it is written, and room is made for it by removing others, all in one transaction; that it is whole
is noted when it is. Whoever writes one has it locked: what is neither whole nor locked belongs to a process that was killed.
"""

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlxd.disk_cache.files import PAGE, Files, taken
from mlxd.disk_cache.index import CacheRow, DamagedIndexError, ExtentRow, Index, NewerIndexError, is_damage

_TAG = b"""Signature: 8a477f597d28d172789f06886806bc55
# This directory is a cache of mlxd: keys and values of prompts. See https://bford.info/cachedir/
"""
_TAG_NAME, _INDEX_NAME, _EXTENTS_NAME, _SUFFIX = "CACHEDIR.TAG", "index.sqlite", "extents", ".extent"
_OF_INDEX = (_INDEX_NAME, f"{_INDEX_NAME}-wal", f"{_INDEX_NAME}-shm", f"{_INDEX_NAME}-journal")
_OURS = frozenset({_TAG_NAME, _EXTENTS_NAME, *_OF_INDEX})
_MARGIN = 2**20  # bytes by which the index may grow between two extents
_PROBES = 10**15  # number of the first extent that is none
SPARE = 2**30  # bytes that are left free on the disk for everybody else


class UnusableDirectoryError(Exception):
    """The directory cannot hold a cache; the message is for the operator."""


class BudgetSpentError(Exception):
    """As many bytes as may be were written within an hour."""


class TooLargeError(Exception):
    """An extent does not fit the limit, however much is removed."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What may be written: ``limit`` and ``budget`` as in ``DiskSettings``. ``spare`` bytes stay free on the disk: blocks give way to
    whatever else fills it.
    """

    limit: int
    budget: int | None = None
    spare: int = SPARE


@dataclass(frozen=True)
class Pruned:
    """What pruning removed: whole extents, and the blocks in them."""

    extents: int
    blocks: int
    size: int  # bytes


@dataclass(frozen=True)
class Begun:
    """An extent that is being written: its number, its open file, and what gave way to it."""

    id: int
    descriptor: int
    evicted: Sequence[ExtentRow]


class CacheDirectory:
    """An open directory, for one thread. Raises ``OSError``, ``sqlite3.Error``, and ``UnusableDirectoryError``."""

    def __init__(self, path: Path, files: Files) -> None:
        """Opens a directory that is there and ours; ``create`` makes one."""
        self.path = path
        self.files = files
        self.device = files.status(path).st_dev
        self._index_path = path / _INDEX_NAME
        self._index = self._opened()
        try:
            self._index.check()
            self.recover()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, files: Files) -> Self:
        """Opens a directory, which is made where it is not there, but not its parent: that may be where a disk is to be mounted. An index
        that is of no use is begun anew, and what it was about is removed: nobody can tell any more what that is.
        """
        _prepare(path, files)
        try:
            return cls(path, files)
        except (sqlite3.Error, DamagedIndexError) as error:
            if not is_damage(error):
                raise
            discard_index(path, files)
            return cls(path, files)

    @classmethod
    def existing(cls, path: Path, files: Files) -> Self:
        """Opens a directory to look at it, or to remove of it. Raises ``UnusableDirectoryError`` for one that holds no cache."""
        try:
            names = files.names(path)
        except (FileNotFoundError, NotADirectoryError):
            names = []
        if _INDEX_NAME not in names:
            raise UnusableDirectoryError(f"{path} holds no cache of mlxd")
        try:
            return cls(path, files)
        except (sqlite3.Error, DamagedIndexError) as error:
            if not is_damage(error):
                raise
            raise UnusableDirectoryError(f"the index of {path} is damaged ({error}): the next model that uses it begins it anew") from error

    @property
    def index(self) -> Index:
        """Returns the index. Raises ``UnusableDirectoryError`` where another process has begun it anew: all is to be opened again then."""
        if self.files.status(self._index_path).st_ino != self._inode:
            raise UnusableDirectoryError(f"the index of {self.path} was begun anew")
        return self._index

    def extent_path(self, extent: int) -> Path:
        """Returns where an extent is."""
        return self.path / _EXTENTS_NAME / f"{extent}{_SUFFIX}"

    def check(self) -> None:
        """Raises ``OSError`` where the directory is not there any more."""
        self.files.status(self.path / _EXTENTS_NAME)

    def overhead(self) -> int:
        """Returns what everything but the extents takes."""
        paths = [self.path, self.path / _EXTENTS_NAME, *(self.path / name for name in (_TAG_NAME, *_OF_INDEX))]
        return sum(self._taken(path) for path in paths)

    def size(self) -> int:
        """Returns the bytes that the directory takes, with what is being written."""
        return self.index.size() + self.overhead()

    def caches(self) -> list[CacheRow]:
        """Returns what there is of each cache."""
        return self.index.caches()

    def recover(self) -> None:
        """Removes what was half written, and makes index and files agree. It looks at no file's content."""
        index = self.index
        with index.transaction():
            known = index.everything()
            found = dict(self._found())
            for extent in found.keys() - known.keys():
                if not self._is_locked(extent):
                    self.files.remove(self.extent_path(extent))
            halves = [extent for extent in found.keys() & known.keys() if not known[extent][0] and not self._is_locked(extent)]
            for extent in halves:
                self.files.remove(self.extent_path(extent))
            index.drop([*halves, *(known.keys() - found.keys())])
            for extent, size in found.items():
                if extent in known and known[extent][0] and known[extent][1] != size:
                    index.resize(extent, size)

    def begin(self, cache: int, names: Sequence[bytes], size: int, terms: Terms) -> Begun:
        """Makes room for an extent of ``size`` bytes, notes it and creates its file.

        Raises ``BudgetSpentError`` and ``TooLargeError``, and ``OSError`` where too little would be left for others on the disk.
        """
        size = -(-size // PAGE) * PAGE + PAGE
        index = self.index
        descriptor, extent = None, 0
        try:
            with index.transaction():
                self._spend(size, terms.budget)
                evicted = self._make_room(size, terms)
                extent = index.add(cache, names, size, _now())
                descriptor = self.files.create(self.extent_path(extent))
        except BaseException:
            if descriptor is not None:
                self._undo(extent, descriptor)
            raise
        return Begun(extent, descriptor, evicted)

    def finish(self, begun: Begun) -> int | None:
        """Notes that an extent is whole, and returns what it takes; None where it was removed meanwhile."""
        size = self.files.allocated(begun.descriptor)
        with self.index.transaction():
            kept = self.index.finish(begun.id, size)
        if not kept:
            self.files.remove(self.extent_path(begun.id))
        self.files.close(begun.descriptor)
        return size if kept else None

    def abandon(self, begun: Begun) -> None:
        """Removes what was begun, as far as the disk allows; the rest is done by ``recover``."""
        self._undo(begun.id, begun.descriptor)
        with contextlib.suppress(OSError, sqlite3.Error, DamagedIndexError), self.index.transaction():
            self.index.drop([begun.id])

    def probe(self, terms: Terms) -> None:
        """Raises ``OSError`` or ``sqlite3.Error`` where nothing can be written."""
        if self._short(PAGE, terms) > self.index.size():
            raise OSError(errno.ENOSPC, f"less than {terms.spare >> 20} MiB are free on the disk")
        path = self.extent_path(_PROBES + os.getpid())  # no index knows it: where it is left over, ``recover`` removes it
        self.files.remove(path)
        descriptor = self.files.create(path)
        try:
            self.files.write(descriptor, bytes(PAGE), 0)
        finally:
            self.files.close(descriptor)
            self.files.remove(path)
        with self.index.transaction():
            self.index.spend(_minute(), 0)

    def remove(self, extents: Sequence[int]) -> None:
        """Removes extents, files and rows."""
        with self.index.transaction():
            for extent in extents:
                self.files.remove(self.extent_path(extent))
            self.index.drop(extents)

    def shrink(self, terms: Terms) -> Sequence[ExtentRow]:
        """Removes what the limit, or the disk, has no room for any more, and returns it."""
        with self.index.transaction():
            chosen = list(_worth(self._index.least_recent(), max(self._over(0, terms), self._short(0, terms))))
            self._evict(chosen)
        return chosen

    def prune(self, model: str | None = None, keep: int = 0) -> Pruned:
        """Removes, least recently used first, until what is left takes at most ``keep`` bytes: of one model, or of all."""
        with self.index.transaction():
            rows = list(self.index.least_recent(model))
            over = sum(row.size for row in rows) - keep
            chosen = list(_worth(rows, over))
            self._evict(chosen)
        return Pruned(len(chosen), sum(row.blocks for row in chosen), sum(row.size for row in chosen))

    def close(self) -> None:
        self._index.close()

    def _opened(self) -> Index:
        with contextlib.suppress(FileExistsError):
            self.files.close(self.files.create(self._index_path))  # SQLite gives what it adds the mode of what is there
        try:
            index = Index(self.files, self._index_path)
        except NewerIndexError as error:
            raise UnusableDirectoryError(f"the index of {self.path} is not for us: {error}") from error
        self._inode = self.files.status(self._index_path).st_ino
        return index

    def _found(self) -> Iterator[tuple[int, int]]:
        """Yields the number of each extent there is, and what it takes."""
        for name in self.files.names(self.path / _EXTENTS_NAME):
            number, suffix = os.path.splitext(name)  # noqa: PTH122 - names, not paths
            if suffix == _SUFFIX and number.isdecimal():
                with contextlib.suppress(FileNotFoundError):
                    yield int(number), taken(self.files.status(self.path / _EXTENTS_NAME / name))

    def _is_locked(self, extent: int) -> bool:
        try:
            return self.files.is_locked(self.extent_path(extent))
        except FileNotFoundError:
            return False

    def _spend(self, size: int, budget: int | None) -> None:
        minute = _minute()
        if budget is not None and self._index.spent(minute) + size > budget:
            raise BudgetSpentError
        self._index.spend(minute, size)

    def _make_room(self, size: int, terms: Terms) -> Sequence[ExtentRow]:
        over, short = self._over(size, terms), self._short(size, terms)
        chosen = list(_worth(self._index.least_recent(), max(over, short)))
        found = sum(row.size for row in chosen)
        if found < over:
            raise TooLargeError  # also beside what others are writing now
        if found < short:
            raise OSError(errno.ENOSPC, f"less than {terms.spare >> 20} MiB would be left free on the disk")
        self._evict(chosen)
        return chosen

    def _over(self, size: int, terms: Terms) -> int:
        """Returns by how many bytes the limit would be exceeded with ``size`` more."""
        return self._index.size() + size + self.overhead() + _MARGIN - terms.limit

    def _short(self, size: int, terms: Terms) -> int:
        """Returns how many bytes others would lack on the disk with ``size`` more."""
        return terms.spare + size - self.files.free(self.path)

    def _evict(self, rows: Sequence[ExtentRow]) -> None:
        """Removes the files before the rows: what a crash leaves behind is rows without files, which take nothing."""
        for row in rows:
            self.files.remove(self.extent_path(row.id))
        self._index.drop([row.id for row in rows])

    def _undo(self, extent: int, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            self.files.remove(self.extent_path(extent))
        with contextlib.suppress(OSError):
            self.files.close(descriptor)

    def _taken(self, path: Path) -> int:
        try:
            return taken(self.files.status(path))
        except FileNotFoundError:
            return 0


def discard_index(path: Path, files: Files) -> None:
    """Removes an index that is of no use; whoever has it open notices. The extents it was about are removed when the next one is begun."""
    for name in _OF_INDEX:
        files.remove(path / name)


def _worth(rows: Iterator[ExtentRow] | Sequence[ExtentRow], size: int) -> Iterator[ExtentRow]:
    """Yields as many of the first rows as take ``size`` bytes."""
    for row in rows:
        if size <= 0:
            return
        yield row
        size -= max(row.size, 0)


def _now() -> int:
    return time.time_ns() // 1000


def _minute() -> int:
    return int(time.time() // 60)


def _prepare(path: Path, files: Files) -> None:
    if not path.is_absolute():
        raise UnusableDirectoryError(f"{path} is not an absolute path")
    try:
        files.make_directory(path)
    except FileNotFoundError:
        raise UnusableDirectoryError(f"{path.parent} is not there: is its disk mounted?") from None
    except FileExistsError:
        raise UnusableDirectoryError(f"{path} is not a directory") from None
    _claim(path, files)
    files.make_directory(path / _EXTENTS_NAME)
    _tag(path / _TAG_NAME, files)


def _claim(path: Path, files: Files) -> None:
    """Makes sure that nothing of anybody else's is there, and that nobody else may read what will be."""
    status = files.status(path)
    if status.st_uid != os.geteuid():
        raise UnusableDirectoryError(f"{path} belongs to another user")
    foreign = sorted(set(files.names(path)) - _OURS)
    if foreign:
        raise UnusableDirectoryError(f"{path} holds something else, {foreign[0]!r}: a cache needs a directory of its own")
    if status.st_mode & 0o777 != 0o700:
        files.set_mode(path, 0o700)


def _tag(path: Path, files: Files) -> None:
    try:
        descriptor = files.create(path)
    except FileExistsError:
        return
    try:
        files.write(descriptor, _TAG, 0)
    finally:
        files.close(descriptor)
