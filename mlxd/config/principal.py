"""Who asks: the holder of a key, by its name, and what it may do. The key itself is nowhere in here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mlxd.config.key_table import KeyTable
from mlxd.config.names import matches
from mlxd.config.schema import ServerTable

RESERVED = {"api_keys": "the keys of server.api_keys", "anonymous": "whoever asks without a key"}  # names that nobody else has


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The holder of a key. What is None has no limit; ``priority`` None leaves it to each request. Prompts of one ``salt`` share their
    prefixes in caches.
    """

    name: str
    models: tuple[str, ...] = ()  # ids, aliases, patterns; empty: all
    max_concurrent: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    priority: int | None = None
    salt: str = ""

    @classmethod
    def of(cls, table: KeyTable) -> Self:
        """Returns the holder of a key with a name."""
        return cls(
            name=table.name,
            models=table.models,
            max_concurrent=table.max_concurrent,
            requests_per_minute=table.requests_per_minute,
            tokens_per_minute=table.tokens_per_minute,
            priority=table.priority,
            salt=f"key:{table.name}" if table.cache_salt == "own" else "",  # by name: it outlives restarts, and another key
        )

    @property
    def is_named(self) -> bool:
        """Tells whether it has a name of its own."""
        return self.name not in RESERVED

    def bounded(self, priority: int | None) -> int:
        """Returns the priority of a request that asks for this one, or for none; lower goes first."""
        if self.priority is None:
            return priority or 0
        return self.priority if priority is None else max(priority, self.priority)


ANONYMOUS = Principal(name="anonymous")
API_KEYS = Principal(name="api_keys")


def principals(server: ServerTable) -> tuple[Principal, ...]:
    """Returns whoever may ask, in the file's order: the keys with names, then those without; where there are no keys, anybody."""
    named = tuple(Principal.of(table) for table in server.keys)
    return (*named, API_KEYS) if server.api_keys else named or (ANONYMOUS,)


def means(item: str, names: Iterable[str]) -> bool:
    """Tells whether an item of a list of models means the one with these names: one of them, a pattern of one, or a name that one of them
    fits which is a pattern itself.
    """
    return any(matches(item, name) or matches(name, item) for name in names)
