"""The functions that a request offers, under the names that the model knows them by, and what their calls are to the client."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mlxd.api.fields.functions import OfferedFunction

_LONGEST = 128  # characters of a name
_DIGEST = 8  # characters


Kind = Literal["function", "custom", "tool_search"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A function as the client knows it: the ``kind`` of its tool, and its ``name``, within a ``namespace`` if it is in one."""

    name: str
    namespace: str | None = None
    kind: Kind = "function"


class Catalogue:
    """A catalogue. A function in a namespace is ``namespace__name`` to the model, and has another name where that one is ``taken``, or too
    long.
    """

    def __init__(self, taken: Collection[str] = ()) -> None:
        self._taken = set(taken)
        self._functions: list[OfferedFunction] = []
        self._entries: dict[str, Entry] = {}  # by the model's names
        self._names: dict[tuple[str | None, str], str] = {}  # the model's, by namespace and name

    @property
    def functions(self) -> Sequence[OfferedFunction]:
        """Returns the functions as they are offered to the model."""
        return self._functions

    @property
    def entries(self) -> Iterable[Entry]:
        """Returns the functions as the client knows them."""
        return self._entries.values()

    def add(self, entry: Entry, function: OfferedFunction) -> None:
        """Adds ``entry``, which is offered as ``function`` is, but for its name."""
        self._add(entry.name if entry.namespace is None else self._free(_joined(entry.namespace, entry.name)), entry, function)

    def load(self, other: "Catalogue") -> None:
        """Adds what the other catalogue has and this one lacks. The conversation tells of it where it comes in, and nothing does before:
        so the prompt begins as it did. Where nothing else is shown it is, for else no model would know how to call.
        """
        is_deferred = any(not function.is_deferred for function in self._functions)
        for entry, function in zip(other.entries, other.functions, strict=True):
            if (entry.namespace, entry.name) not in self._names:
                self._add(self._free(function.name), entry, replace(function, is_deferred=is_deferred))

    def entry(self, name: str) -> Entry:
        """Returns the function that the model knows by the name; one that is not offered has the same name for all."""
        return self._entries.get(name, Entry(name=name))

    def name_of(self, namespace: str | None, name: str) -> str:
        """Returns the model's name of a function, also of one that was offered earlier only."""
        found = self._names.get((namespace, name))
        return found or (name if namespace is None else _joined(namespace, name))

    def named(self, namespace: str | None, name: str) -> str | None:
        """Returns the model's name of what a client names, with its namespace or without where there is one such; None of what is not
        offered.
        """
        if self.name_of(namespace, name) in self._entries:
            return self.name_of(namespace, name)
        found = [own for own, entry in self._entries.items() if namespace is None and entry.name == name]
        return found[0] if len(found) == 1 else None

    def of_kind(self, kind: str) -> list[str]:
        """Returns the model's names of the tools of a kind."""
        return [own for own, entry in self._entries.items() if entry.kind == kind]

    def within(self, namespace: str) -> list[str]:
        """Returns the model's names of what is in a namespace."""
        return [own for own, entry in self._entries.items() if entry.namespace == namespace]

    def told(self, entry: Entry) -> str:
        """Returns what a conversation tells of a function that is offered."""
        name = self.name_of(entry.namespace, entry.name)
        return next(function.told() for function in self._functions if function.name == name)

    def _add(self, name: str, entry: Entry, function: OfferedFunction) -> None:
        self._functions.append(replace(function, name=name))
        self._entries[name] = entry
        self._names.setdefault((entry.namespace, entry.name), name)

    def _free(self, name: str) -> str:
        number = 1
        found = name
        while found in self._taken or found in self._entries:
            number += 1
            found = _cut(f"{name}_{number}")
        return found


def _joined(namespace: str, name: str) -> str:
    return _cut(f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}")


def _cut(name: str) -> str:
    """Returns a name that is short enough, and still its own."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - _DIGEST - 1]}_{hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]}"
