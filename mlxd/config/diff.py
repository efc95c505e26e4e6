"""What differs between two snapshots, field by field, and what each change costs. Pure.

``[defaults]`` has no effect of its own: what it changes is seen in the models that inherit it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from mlxd.config.catalogue import entries
from mlxd.config.fields import NamedTable, Reload, Table, is_secret, reload_class
from mlxd.config.keys import Key, dotted
from mlxd.config.loader import LoadedConfig
from mlxd.config.redact import hidden, redacted_table
from mlxd.config.schema import Config

Kind = Literal["changed", "added", "removed"]


@dataclass(frozen=True)
class Change:
    """A field that changes, or one of several tables that comes or goes. ``before`` and ``after`` are as written in a file, secrets
    redacted; ``line`` is that of the new file, if the field stands there.
    """

    key: Key
    before: Any
    after: Any
    reload: Reload
    line: int | None = None

    @property
    def name(self) -> str:
        """Returns the dotted key, as in ``models.qwen3.batching.mode``."""
        return dotted(self.key)


@dataclass(frozen=True)
class Diff:
    """A diff holds in ``models`` the changed fields of each model that stays; ``added`` and ``removed`` name the others, in the files'
    order.
    """

    changes: tuple[Change, ...]  # outside models
    models: dict[str, tuple[Change, ...]]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Tells whether nothing that has an effect differs."""
        return not (self.changes or self.models or self.added or self.removed)

    @property
    def all_changes(self) -> tuple[Change, ...]:
        """Returns the changes outside models, then those within."""
        return (*self.changes, *chain.from_iterable(self.models.values()))


def diff(before: LoadedConfig, after: LoadedConfig) -> Diff:
    """Returns what taking over ``after`` would change."""
    old, new = before.config, after.config
    kept = [name for name in new.models if name in old.models]
    models = {name: tuple(_changes(old.models[name], new.models[name], ("models", name), after)) for name in kept}
    top = [entry for entry in entries(Config) if entry.key[-1] not in ("models", "defaults")]
    changes = [
        change for entry in top for change in _changes(getattr(old, str(entry.key[-1])), getattr(new, str(entry.key[-1])), entry.key, after)
    ]
    return Diff(
        changes=tuple(changes),
        models={name: changed for name, changed in models.items() if changed},
        added=tuple(name for name in new.models if name not in old.models),
        removed=tuple(name for name in old.models if name not in new.models),
    )


def _changes(old: Table, new: Table, at: Key, source: LoadedConfig) -> Iterator[Change]:
    """Yields the changes between two tables of the same kind, and between those below them."""
    if old == new:
        return
    shown_old, shown_new = old.model_dump(mode="json"), new.model_dump(mode="json")
    for entry in entries(type(new), at):
        name = str(entry.key[-1])
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        reload = reload_class(entry.info)
        if isinstance(before, Table) and isinstance(after, Table):
            yield from _changes(before, after, entry.key, source)
        elif entry.is_several:
            yield from _changes_of_several(_by_name(before), _by_name(after), entry.key, source)
        elif reload is not None:
            secret = is_secret(entry.info)
            was, is_now = (hidden(value) if secret else value for value in (shown_old[name], shown_new[name]))
            if was == is_now and not secret:  # a path, and what lies there
                is_now = f"{is_now} (its content has changed)"
            yield Change(entry.key, was, is_now, reload, source.provenance.get(dotted(entry.key)))


def _by_name(several: Iterable[NamedTable] | Mapping[str, Table]) -> Mapping[str, Table]:
    return several if isinstance(several, Mapping) else {table.name: table for table in several}


def _changes_of_several(old: Mapping[str, Table], new: Mapping[str, Table], at: Key, source: LoadedConfig) -> Iterator[Change]:
    """Yields the changes between tables that are known by their names: their order is no change."""
    for name in dict.fromkeys((*old, *new)):
        key = (*at, name)
        if name in old and name in new:
            yield from _changes(old[name], new[name], key, source)
        else:
            was, is_now = (redacted_table(tables[name]) if name in tables else None for tables in (old, new))
            yield Change(key, was, is_now, _cost(type(old[name] if name in old else new[name])), source.provenance.get(dotted(key)))


def _cost(kind: type[Table]) -> Reload:
    """Returns what it costs when a whole table comes or goes: as much as the dearest of its fields."""
    costs = {reload_class(entry.info) for entry in entries(kind)}
    return next((cost for cost in reversed(Reload) if cost in costs), Reload.LIVE)
