"""The setting ``cache.memory`` as bytes."""

import psutil

from mlxd.types import Limits, ResolvedLimits

AUTO_FRACTION = 0.2  # of available RAM


class CacheLimit:
    """A limit whose share is of the RAM available when it is first asked for: not less because the model itself has been loaded since, nor
    because another limit changes.
    """

    def __init__(self) -> None:
        self._available = psutil.virtual_memory().available

    def resolve(self, limits: Limits) -> ResolvedLimits:
        """Returns the limits with a size in the place of a share."""
        size = limits.cache_bytes
        if size is None:
            size = int(self._available * (limits.cache_fraction or AUTO_FRACTION))
        return ResolvedLimits.of(limits, size)
