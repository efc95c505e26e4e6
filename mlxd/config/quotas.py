"""What of a model's cache belongs to the holders of keys."""

from mlxd.cache_terms import CacheQuota
from mlxd.config.disk_checks import is_paged
from mlxd.config.given_names import given_names
from mlxd.config.key_table import KeyTable
from mlxd.config.principal import means
from mlxd.config.schema import Config, ModelTable
from mlxd.config.units import MemoryShare


def cache_quotas(config: Config) -> dict[str, tuple[CacheQuota, ...]]:
    """Returns the quotas in each model's paged cache, by model. Keys that may not ask for a model have none."""
    return {
        name: tuple(
            CacheQuota(holder=holder.name, size=holder.cache_quota.size, fraction=holder.cache_quota.fraction)
            for holder in config.server.keys
            if holder.cache_quota is not None and may_use(holder, name, model)
        )
        for name, model in config.models.items()
        if is_paged(model)
    }


def may_use(holder: KeyTable, name: str, model: ModelTable) -> bool:
    """Tells whether the holder of a key may ask for a model, or for an adapter of it."""
    names = [one.text for one in given_names({name: model})]
    return not holder.models or any(means(item, names) for item in holder.models)


def share_of(quota: MemoryShare, limit: int | None) -> float:
    """Returns the fraction that a quota is of a cache of ``limit`` bytes; 0 for a size where nobody knows the limit."""
    if quota.size is None:
        return quota.fraction or 0.0
    return quota.size / limit if limit else 0.0
