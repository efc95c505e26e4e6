"""One account of memory over all models: what each has reserved for weights, keys and values, and what it needs on top to compute.

Memory is reserved before anything is loaded. This is pure bookkeeping: who gives way to whom is decided by those who reserve.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mlxd.config.units import MemoryShare

AUTO_FRACTION = 0.75  # of the machine's RAM: what Metal recommends as a working set, roughly


def memory_limit(share: MemoryShare, total: int) -> int:
    """Returns ``memory.limit`` in bytes, of a machine with ``total`` bytes of RAM."""
    return share.size if share.size is not None else int(total * (share.fraction or AUTO_FRACTION))


def model_of(holder: str) -> str:
    """Returns the model whose worker ``holder`` is: a model has two for a while, when one replaces another."""
    return holder.rpartition("#")[0]


class Ledger:
    """An account of amounts in bytes, under names of workers: "MODEL#NUMBER"."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # may be changed at any time; nothing reserved is taken back by that
        self._reserved: dict[str, int] = {}

    @property
    def reserved(self) -> Mapping[str, int]:
        """Returns the bytes that each holder has reserved."""
        return MappingProxyType(self._reserved)

    @property
    def total(self) -> int:
        """Returns the bytes reserved by all holders."""
        return sum(self._reserved.values())

    @property
    def free(self) -> int:
        """Returns the bytes that can be reserved still; negative where the limit was lowered below what is."""
        return self.limit - self.total

    def by_model(self) -> dict[str, int]:
        """Returns the bytes that each model has reserved, all its workers together."""
        found: dict[str, int] = {}
        for holder, amount in self._reserved.items():
            found[model_of(holder)] = found.get(model_of(holder), 0) + amount
        return found

    def reserve(self, holder: str, amount: int) -> bool:
        """Takes ``amount`` bytes, in place of what ``holder`` has; False if there is not so much, and nothing has changed."""
        if amount - self._reserved.get(holder, 0) > max(self.free, 0):
            return False
        self._reserved[holder] = amount
        return True

    def release(self, holder: str) -> None:
        """Gives all of it back; a holder that has nothing may do so too."""
        self._reserved.pop(holder, None)
