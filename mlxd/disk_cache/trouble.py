"""What an error of a disk means for the cache on it."""

import errno
import sqlite3
from enum import Enum, auto

from mlxd.disk_cache.directory import UnusableDirectoryError
from mlxd.disk_cache.index import DamagedIndexError, primary_code


class Trouble(Enum):
    """How bad it is."""

    BUSY = auto()  # another process is at it: the next try may do
    FULL = auto()  # nothing can be written, but all that is there can be read
    GONE = auto()  # it must be opened again


DISK_ERRORS = (OSError, sqlite3.Error, DamagedIndexError, UnusableDirectoryError)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def trouble(error: Exception) -> Trouble:
    """Returns how bad an error of ``DISK_ERRORS`` is."""
    if isinstance(error, OSError):
        return Trouble.FULL if error.errno in _FULL else Trouble.GONE
    if isinstance(error, sqlite3.Error):
        if primary_code(error) in _SQLITE_BUSY:
            return Trouble.BUSY
        moved = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED
        return Trouble.FULL if primary_code(error) in _SQLITE_FULL and not moved else Trouble.GONE
    return Trouble.GONE


def told(error: Exception) -> str:
    """Returns an error as one reads it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, sqlite3.Error | DamagedIndexError):
        return f"its index: {error}"
    return str(error) if isinstance(error, DISK_ERRORS) and str(error) else f"{type(error).__name__}: {error}"
