"""What is in a directory: its extents, of which cache each is and when it was of use, in a SQLite database.

SQLite, for several processes change it at once, and of a process that is killed no half transaction is left. In WAL mode, for readers go on
while one writes, and a commit waits for no disk: after a power cut the last ones may be missing, and what an index says that is not so is
found out. It only says where to look; what is there proves itself (``extent.py``).
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlxd.disk_cache.files import Files

LAYOUT = 1  # of the database and of extents; what another one wrote is dropped
_BUDGET_MINUTES = 60
_SCHEMA = f"""
PRAGMA auto_vacuum = FULL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS caches (id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, model TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS extents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, cache INTEGER NOT NULL, whole INTEGER NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL,
    blocks INTEGER NOT NULL, names BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS extents_by_use ON extents (used, id, whole, cache, bytes);
CREATE TABLE IF NOT EXISTS written (minute INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS weights (path TEXT PRIMARY KEY, stamp BLOB NOT NULL, digest BLOB NOT NULL);
PRAGMA user_version = {LAYOUT};
COMMIT;
"""
_SETTINGS = (
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 64",  # pages: the log takes place of the directory's limit
    "PRAGMA journal_size_limit = 262144",
    "PRAGMA cache_size = -1024",
)


class DamagedIndexError(Exception):
    """The database cannot be read as one of ours: it has to be begun anew."""


class NewerIndexError(Exception):
    """The database was made by a later version of mlxd, which may be using it."""


@dataclass(frozen=True)
class ExtentRow:
    """An extent as the index knows it."""

    id: int
    size: int  # bytes on disk
    blocks: int


@dataclass(frozen=True)
class NamedExtent:
    """An extent with the names of its blocks."""

    id: int
    size: int  # bytes on disk
    names: tuple[bytes, ...]


@dataclass(frozen=True)
class CacheRow:
    """What the index knows of the blocks of one identity. ``model`` is what was last configured to use them."""

    model: str
    identity: bytes
    extents: int
    blocks: int
    size: int  # bytes on disk
    used: float  # seconds since 1970


class Index:
    """A connection to the database, for one thread. Raises ``sqlite3.Error`` and ``DamagedIndexError``; ``is_damage`` tells of either
    whether the database must be begun anew.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._connection = files.connect(path)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is done inside one change, that no other process is in the middle of."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def change(self) -> int:
        """Returns a number that is another one after another process has changed something."""
        return self._number("PRAGMA data_version")

    def check(self) -> None:
        """Raises ``DamagedIndexError`` where a page is not as it should be."""
        if (found := self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise DamagedIndexError(str(found))

    # ---- caches ----

    def cache(self, identity: bytes, model: str) -> int:
        """Returns the number of the cache of this identity, and notes the model's name."""
        self._connection.execute(
            "INSERT INTO caches (identity, model) VALUES (?, ?) ON CONFLICT (identity) DO UPDATE SET model = excluded.model",
            (identity, model),
        )
        return self._number("SELECT id FROM caches WHERE identity = ?", identity)

    def caches(self) -> list[CacheRow]:
        """Returns what there is of each cache, those first that were of use last."""
        rows = self._connection.execute(
            "SELECT model, identity, count(*), total(blocks), total(bytes), cast(max(used) AS INTEGER) "
            "FROM extents JOIN caches ON caches.id = cache WHERE whole GROUP BY cache ORDER BY max(used) DESC"
        )
        return [CacheRow(model, identity, count, int(blocks), int(size), used / 1e6) for model, identity, count, blocks, size, used in rows]

    # ---- extents ----

    def add(self, cache: int, names: Sequence[bytes], size: int, used: int) -> int:
        """Notes an extent that is being written, and returns its number."""
        cursor = self._connection.execute(
            "INSERT INTO extents (cache, whole, bytes, used, blocks, names) VALUES (?, 0, ?, ?, ?, ?)",
            (cache, size, used, len(names), msgspec.msgpack.encode(names)),
        )
        return cursor.lastrowid or 0  # never 0: SQLite has just made the row

    def finish(self, extent: int, size: int) -> bool:
        """Notes that an extent is whole, and what it takes; False where somebody has dropped it meanwhile."""
        return self._connection.execute("UPDATE extents SET whole = 1, bytes = ? WHERE id = ?", (size, extent)).rowcount == 1

    def resize(self, extent: int, size: int) -> None:
        """Notes what an extent really takes."""
        self._connection.execute("UPDATE extents SET bytes = ? WHERE id = ?", (size, extent))

    def drop(self, extents: Sequence[int]) -> None:
        """Forgets extents that are gone."""
        self._connection.executemany("DELETE FROM extents WHERE id = ?", [(extent,) for extent in extents])

    def touch(self, uses: Sequence[tuple[int, int]]) -> None:
        """Notes for pairs of an extent and a time that it was of use then."""
        self._connection.executemany("UPDATE extents SET used = ?2 WHERE id = ?1 AND used < ?2", uses)

    def size(self) -> int:
        """Returns what all extents take, those that are being written included."""
        return self._number("SELECT cast(total(max(bytes, 0)) AS INTEGER) FROM extents")

    def least_recent(self, model: str | None = None) -> Iterator[ExtentRow]:
        """Yields the whole extents, least recently used first: all, or those of the caches that a model used last."""
        rows = self._connection.execute(
            "SELECT id, bytes, blocks FROM extents WHERE whole AND (?1 IS NULL OR cache IN (SELECT id FROM caches WHERE model = ?1)) "
            "ORDER BY used, id",
            (model,),
        )
        return (ExtentRow(*row) for row in rows)

    def everything(self) -> dict[int, tuple[bool, int]]:
        """Returns of each extent whether it is whole, and its bytes."""
        return {number: (bool(whole), size) for number, whole, size in self._connection.execute("SELECT id, whole, bytes FROM extents")}

    def whole(self, cache: int) -> set[int]:
        """Returns the whole extents of a cache."""
        return {number for (number,) in self._connection.execute("SELECT id FROM extents WHERE whole AND cache = ?", (cache,))}

    def named(self, cache: int, after: int = 0) -> list[NamedExtent]:
        """Returns the whole extents of a cache whose numbers are larger than ``after``, with the names of their blocks."""
        rows = self._connection.execute("SELECT id, bytes, names FROM extents WHERE whole AND cache = ? AND id > ?", (cache, after))
        try:
            return [NamedExtent(number, size, msgspec.msgpack.decode(names, type=tuple[bytes, ...])) for number, size, names in rows]
        except (msgspec.DecodeError, msgspec.ValidationError, TypeError) as error:
            raise DamagedIndexError("names of blocks cannot be read") from error

    # ---- what was written ----

    def spent(self, minute: int) -> int:
        """Returns the bytes that were written in the hour that ends with ``minute``, since 1970, and forgets older hours."""
        self._connection.execute("DELETE FROM written WHERE minute < ? OR minute > ?", (minute - _BUDGET_MINUTES, minute))
        return self._number("SELECT cast(total(max(bytes, 0)) AS INTEGER) FROM written")

    def spend(self, minute: int, size: int) -> None:
        """Notes bytes that are written in ``minute``."""
        self._connection.execute(
            "INSERT INTO written VALUES (?, ?) ON CONFLICT (minute) DO UPDATE SET bytes = bytes + excluded.bytes", (minute, size)
        )

    # ---- what was hashed ----

    def known_digest(self, path: str, stamp: bytes) -> bytes | None:
        """Returns the digest of a file of weights, where it was hashed when its stamp was the same."""
        row = self._connection.execute("SELECT digest FROM weights WHERE path = ? AND stamp = ?", (path, stamp)).fetchone()
        return row[0] if row and isinstance(row[0], bytes) else None

    def remember_digest(self, path: str, stamp: bytes, digest: bytes) -> None:
        """Notes the digest of a file of weights."""
        self._connection.execute("INSERT OR REPLACE INTO weights VALUES (?, ?, ?)", (path, stamp, digest))

    def _open(self) -> None:
        version = self._number("PRAGMA user_version")
        if version > LAYOUT:
            raise NewerIndexError(f"it was made by a later version of mlxd, for layout {version}; this one knows layout {LAYOUT}")
        if version not in {0, LAYOUT}:
            raise DamagedIndexError(f"it is of layout {version}, and {LAYOUT} is in use")
        for setting in _SETTINGS:
            self._connection.execute(setting)
        if version == 0:
            self._connection.executescript(_SCHEMA)

    def _number(self, question: str, *parameters: object) -> int:
        row = self._connection.execute(question, parameters).fetchone()
        if not row or not isinstance(row[0], int):
            raise DamagedIndexError("a number cannot be read")
        return row[0]


def is_damage(error: Exception) -> bool:
    """Tells whether an error shows a damaged file."""
    if isinstance(error, sqlite3.Error):
        return primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
    return isinstance(error, DamagedIndexError)


def primary_code(error: sqlite3.Error) -> int:
    """Returns SQLite's code of an error without what it adds to it; 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
