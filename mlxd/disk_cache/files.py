"""Everything that a cache on disk asks of the system: the one place where a test lets a disk fail."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Protocol

from typing_extensions import override

_BUSY = 10.0  # seconds that one process waits for another's transaction, which takes milliseconds
PAGE = 4096  # bytes, of which most file systems give files whole numbers
_SECTOR = 512  # bytes of a ``st_blocks``, whatever the file system


class Files(Protocol):
    """Files of a directory. Every call may raise ``OSError``, and ``connect`` and its connection ``sqlite3.Error``; any may hang."""

    def connect(self, path: Path) -> sqlite3.Connection:
        """Returns a connection without implicit transactions."""
        ...

    def make_directory(self, path: Path) -> None:
        """Makes a directory for its owner alone. Its parent must be there. One that is there stays."""
        ...

    def names(self, path: Path) -> list[str]:
        """Returns what is in a directory."""
        ...

    def status(self, path: Path) -> os.stat_result:
        """Returns what the system knows of a path."""
        ...

    def set_mode(self, path: Path, mode: int) -> None:
        """Sets who may do what with it."""
        ...

    def free(self, path: Path) -> int:
        """Returns the bytes that are left on the disk of ``path`` for us."""
        ...

    def create(self, path: Path) -> int:
        """Returns the descriptor of a new file, for its owner alone, locked by us until it is closed or we end."""
        ...

    def open(self, path: Path) -> int:
        """Returns the descriptor of a file, to read it."""
        ...

    def is_locked(self, path: Path) -> bool:
        """Tells whether a process that lives has it locked."""
        ...

    def resize(self, descriptor: int, size: int) -> None:
        """Makes a file so long; what is new of it is zeros that take no place."""
        ...

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Writes all of ``data``."""
        ...

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Returns so many bytes, fewer only where the file ends."""
        ...

    def allocated(self, descriptor: int) -> int:
        """Returns the bytes that a file takes on disk."""
        ...

    def close(self, descriptor: int) -> None: ...

    def remove(self, path: Path) -> None:
        """Removes a file; one that is not there is removed already."""
        ...


class SystemFiles(Files):
    @override
    def connect(self, path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=_BUSY, isolation_level=None)

    @override
    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    @override
    def names(self, path: Path) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    @override
    def status(self, path: Path) -> os.stat_result:
        return path.stat()

    @override
    def set_mode(self, path: Path, mode: int) -> None:
        path.chmod(mode)

    @override
    def free(self, path: Path) -> int:
        system = os.statvfs(path)
        return system.f_bavail * system.f_frsize

    @override
    def create(self, path: Path) -> int:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    @override
    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @override
    def is_locked(self, path: Path) -> bool:
        descriptor = self.open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @override
    def resize(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    @override
    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[written:], offset + written

    @override
    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        return os.pread(descriptor, size, offset)

    @override
    def allocated(self, descriptor: int) -> int:
        return taken(os.fstat(descriptor))

    @override
    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    @override
    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)


def taken(status: os.stat_result) -> int:
    """Returns the bytes that a file takes on disk, or will: some file systems tell late, and of files full of zeros less."""
    return max(status.st_blocks * _SECTOR, -(-status.st_size // PAGE) * PAGE)
