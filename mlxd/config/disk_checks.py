"""What the settings of caches on disk must have in common: a directory has one limit, and holds nothing else."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from mlxd.config.document import Document
from mlxd.config.keys import Key, dotted
from mlxd.config.model_tables import DiskTable
from mlxd.config.problems import Problem, shown
from mlxd.config.schema import Config, ModelTable
from mlxd.config.units import format_size

_DISK = ("cache", "disk")


@dataclass(frozen=True)
class _Disk:
    """The settings of a model that has a cache on disk."""

    model: str
    table: DiskTable

    @property
    def path(self) -> PurePath:
        """Returns the directory, without detours."""
        return PurePath(os.path.normpath(self.table.path))


def check_disks(config: Config, document: Document) -> Iterator[Problem]:
    """Reports a cache on disk of a model that cannot have one, and two that name one directory and differ, or lie in each other.
    That of all models is passed over by those that have no use for it.
    """
    disks = []
    for name, model in config.models.items():
        key: Key = ("models", name, *_DISK, "path")
        if not model.cache.disk.path or model.encodes:
            continue
        if is_paged(model):
            disks.append(_Disk(name, model.cache.disk))
        elif key in document.lines:
            found = f"found {shown(model.cache.disk.path)}, which needs"
            yield Problem(key, f'{found} batching.mode = "continuous" and cache.kind = "paged"; elsewhere use ""', (key,))
    for position, disk in enumerate(disks):
        yield from _differences(disk, disks[:position], document)


def is_paged(model: ModelTable) -> bool:
    """Tells whether a model's cache is one of blocks."""
    return not model.encodes and model.batching.mode == "continuous" and model.cache.kind in {"auto", "paged"}


def _differences(disk: _Disk, others: list[_Disk], document: Document) -> Iterator[Problem]:
    for same in [other for other in others if other.path == disk.path][:1]:
        for field in ("limit", "write_budget"):
            mine, theirs = getattr(disk.table, field), getattr(same.table, field)
            if mine != theirs:
                keys = tuple(document.origin(other.model, *_DISK, field) for other in (disk, same))
                found = f"found {shown(format_size(mine))}, where models.{dotted((same.model,))} has {shown(format_size(theirs))}"
                rule = f"one directory has one {field} for all its models: give both the same, or directories of their own"
                yield Problem(next((key for key in keys if key in document.lines), keys[0]), f"{found}; {rule}", keys)
    for around in [other for other in others if other.path != disk.path and _is_inside(disk.path, other.path)][:1]:
        key, theirs = (document.origin(one.model, *_DISK, "path") for one in (disk, around))
        text = f"found {shown(disk.table.path)}, which is inside of that of models.{dotted((around.model,))}, or around it"
        yield Problem(key, f"{text}; name the same directory, or one beside it", (key, theirs))


def _is_inside(one: PurePath, other: PurePath) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
