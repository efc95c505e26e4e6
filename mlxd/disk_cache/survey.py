"""A look at a directory from outside: what is in it, for whom; and what of it is to go. No model has to run, and any may."""

from dataclasses import dataclass
from pathlib import Path

from mlxd.disk_cache.directory import CacheDirectory, Pruned
from mlxd.disk_cache.files import SystemFiles
from mlxd.disk_cache.index import CacheRow
from mlxd.disk_cache.trouble import DISK_ERRORS, told


@dataclass(frozen=True)
class Survey:
    """What is in a directory: its bytes, index included, and what there is of each cache; or why that cannot be told."""

    path: str
    size: int = 0
    caches: tuple[CacheRow, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Removal:
    """What was removed from a directory; or why nothing was."""

    path: str
    blocks: int = 0
    size: int = 0  # bytes
    problem: str | None = None


def survey(path: str) -> Survey:
    """Looks at a directory. One that is not there yet holds nothing."""
    if not Path(path).exists():
        return Survey(path)
    try:
        directory = CacheDirectory.existing(Path(path), SystemFiles())
        try:
            return Survey(path, directory.size(), tuple(directory.caches()))
        finally:
            directory.close()
    except DISK_ERRORS as error:
        return Survey(path, problem=told(error))


def remove(path: str, model: str | None = None) -> Removal:
    """Removes what a directory holds of a model, or of all. Whoever uses the directory goes on with what is left."""
    if not Path(path).exists():
        return Removal(path)
    try:
        directory = CacheDirectory.existing(Path(path), SystemFiles())
        try:
            return _told(path, directory.prune(model))
        finally:
            directory.close()
    except DISK_ERRORS as error:
        return Removal(path, problem=told(error))


def _told(path: str, pruned: Pruned) -> Removal:
    return Removal(path, pruned.blocks, pruned.size)
