"""What is wrong with keys beside each other, and beside the models they name."""

from collections.abc import Iterator

from mlxd.config.disk_checks import is_paged
from mlxd.config.document import Document
from mlxd.config.given_names import given_names
from mlxd.config.keys import Key, dotted
from mlxd.config.names import is_pattern
from mlxd.config.principal import RESERVED, means
from mlxd.config.problems import Problem, shown
from mlxd.config.quotas import may_use, share_of
from mlxd.config.schema import Config

_ROUNDING = 1e-9
MOST_KEYS = 256  # each has series of its own in the metrics

_KEYS: Key = ("server", "keys")


def check_keys(config: Config, document: Document) -> Iterator[Problem]:
    """Yields what is wrong with ``server.keys``, whose fields are valid each."""
    if len(config.server.keys) > MOST_KEYS:
        yield Problem(_KEYS, f"found {len(config.server.keys)} keys; there may be {MOST_KEYS} at most", (_KEYS,))
    yield from _names_are_unique(config, document)
    yield from _keys_are_unique(config, document)
    yield from _models_are_known(config)
    yield from _quotas_are_of_caches(config)
    yield from _quotas_fit(config)


def _names_are_unique(config: Config, document: Document) -> Iterator[Problem]:
    owners: dict[str, Key] = {}
    for position, table in enumerate(config.server.keys):
        key: Key = (*_KEYS, position, "name")
        if table.name in RESERVED:
            yield Problem(key, f"found {shown(table.name)}, which stands for {RESERVED[table.name]}; use another name", (key,))
        elif table.name in owners:
            owner = owners[table.name]
            text = f"found {shown(table.name)}, which another key is called already{_line(document, owner)}; every name must be given once"
            yield Problem(key, text, (key, owner))
        owners.setdefault(table.name, key)


def _keys_are_unique(config: Config, document: Document) -> Iterator[Problem]:
    """Compares the keys themselves, wherever they come from: the same key cannot stand for two."""
    owners: dict[str, Key] = {}
    for position, secret in enumerate(config.server.api_keys):
        owners.setdefault(secret, ("server", "api_keys", position))
    for position, table in enumerate(config.server.keys):
        key: Key = (*_KEYS, position, "key")
        if table.key in owners:
            owner = owners[table.key]
            text = f"the same key as {dotted(owner)}{_line(document, owner)}; every key must be given once"
            yield Problem(key, text, (key, owner))
        owners.setdefault(table.key, key)


def _models_are_known(config: Config) -> Iterator[Problem]:
    """Reports names that no model has, and no adapter. A pattern may be there for models to come."""
    given = [one.text for one in given_names(config.models)]
    for position, holder in enumerate(config.server.keys):
        for place, name in enumerate(holder.models):
            if not is_pattern(name) and not means(name, given):
                key: Key = (*_KEYS, position, "models", place)
                known = ", ".join(map(shown, [*config.models, *_adapters(config)]))
                yield Problem(key, f"found {shown(name)}, which is no model's name or alias; there are: {known}", (key, ("models",)))


def _adapters(config: Config) -> list[str]:
    return list(dict.fromkeys(one.asked.name for one in given_names(config.models) if one.asked.adapter))


def _quotas_are_of_caches(config: Config) -> Iterator[Problem]:
    """Reports quotas that no cache would ever heed."""
    for position, holder in enumerate(config.server.keys):
        key: Key = (*_KEYS, position, "cache_quota")
        models = [table for name, table in config.models.items() if may_use(holder, name, table)]
        if holder.cache_quota is not None and models and not any(map(is_paged, models)):
            found = f"found {shown(str(holder.cache_quota))}, and none of the models that it may ask for has a paged cache"
            yield Problem(key, f'{found} (batching.mode = "continuous", cache.kind = "paged"); remove it', (key, ("models",)))


def _quotas_fit(config: Config) -> Iterator[Problem]:
    """Reports the first quota by which more than the whole of a model's cache would be somebody's own."""
    for name, table in config.models.items():
        total = 0.0
        for position, holder in enumerate(config.server.keys if is_paged(table) else ()):
            quota, key = holder.cache_quota, (*_KEYS, position, "cache_quota")
            if quota is None or not may_use(holder, name, table):
                continue
            total += share_of(quota, table.cache.memory.size)
            if total > 1 + _ROUNDING:
                found = f"found {shown(str(quota))}, and together with those of the keys before it that is more than the whole cache of"
                yield Problem(key, f"{found} models.{dotted((name,))}; make them less", (key, ("models",)))
                break


def _line(document: Document, key: Key) -> str:
    line = document.line_of(key)
    return "" if line is None else f" (line {line})"
