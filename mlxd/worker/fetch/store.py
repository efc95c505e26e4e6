"""Where models that mlxd makes itself live on disk, and how one appears there whole or not at all.

::

    $MLXD_HOME/models/                  or ~/.cache/mlxd/models/
        NAME/                           a published model: complete, never changed afterwards
        .NAME.lock                      held (flock) by the process that makes NAME; the file stays
        .NAME.staging-XXXXXXXX/         being made; a leftover of a killed process is swept by the next maker
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from mlxd.errors import ModelSourceError, ModelUnreachableError


class ModelStore:
    """Published models under one root directory, shared by all processes of a user."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def from_environment(cls) -> Self:
        """Returns that of ``$MLXD_HOME/models``, else ``~/.cache/mlxd/models``. Raises ``ModelSourceError`` without a home directory."""
        try:
            home = Path(os.environ.get("MLXD_HOME") or "~/.cache/mlxd").expanduser()
        except RuntimeError as error:
            raise ModelSourceError(f"no place for models: {error}; set MLXD_HOME to a directory for them") from error
        return cls(home.absolute() / "models")

    def obtain(
        self,
        name: str,
        *,
        build: Callable[[Path], Path],
        check: Callable[[Path], None],
        waiting: Callable[[], None] = lambda: None,
    ) -> Path:
        """Returns the directory of the published model ``name``, which is made first where it is absent or damaged.

        ``build(staging)`` works in an empty directory on the store's file system and returns the directory in it to publish.
        ``check(directory)`` raises ``ModelSourceError`` for one that is damaged. ``waiting()`` is called before this process waits for
        another one that is making the same model.

        Raises ``ModelSourceError``: from ``build`` and ``check``, and for a full disk or missing permissions.
        """
        final = self.root / name
        if _is_whole(final, check):
            return final
        with self._disk_errors_explained(), self._lock(name, waiting):
            self._sweep(name)
            if not _is_whole(final, check):  # another process may have made it while this one waited
                self._make(name, build, check)
        return final

    def _make(self, name: str, build: Callable[[Path], Path], check: Callable[[Path], None]) -> None:
        staging = Path(tempfile.mkdtemp(prefix=_staging_prefix(name), dir=self.root))
        try:
            built = build(staging)
            check(built)
            _sync_tree(built)
            self._publish(built, self.root / name, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _publish(self, built: Path, final: Path, staging: Path) -> None:
        if final.exists():  # damaged: out of the way in one step; workers that have its files open keep them
            final.rename(staging / "damaged")
        built.rename(final)
        _sync(self.root)

    def _sweep(self, name: str) -> None:
        """Removes what killed makers left. Whoever holds the lock is the only living maker."""
        for leftover in self.root.glob(f"{_staging_prefix(name)}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    @contextmanager
    def _lock(self, name: str, waiting: Callable[[], None]) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{name}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file releases the lock, and so does the end of the process, however it ends

    @contextmanager
    def _disk_errors_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = ModelUnreachableError if error.errno in _PASSES else ModelSourceError
            raise kind(_explained(error, self.root)) from error


_PASSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE})  # somebody frees some space, or the disk is back


def _staging_prefix(name: str) -> str:
    return f".{name}.staging-"


def _is_whole(directory: Path, check: Callable[[Path], None]) -> bool:
    try:
        check(directory)
    except ModelSourceError:
        return False
    return True


def _explained(error: OSError, root: Path) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for models in {root}{where}; free some, or set MLXD_HOME to a directory on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write models to {root}: {error.strerror}{where}; set MLXD_HOME to a directory you may write to"
    return f"cannot keep models in {root}: {error.strerror or error}{where}; repair it, or set MLXD_HOME to another directory"


def _sync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        _sync(path)
    _sync(directory)


def _sync(path: Path) -> None:
    """Has the disk hold what the kernel holds, so that a crash after the rename finds no empty files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
