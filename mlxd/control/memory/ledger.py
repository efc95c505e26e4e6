"""One account of memory over all models: what each has reserved for weights, keys and values, and what it needs on top to compute.

Memory is reserved before anything is loaded. This is pure bookkeeping: who gives way to whom is decided by those who reserve.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mlxd.config.units import MemoryShare

STEP = 64 * 2**20  # bytes: what is really held is counted in such portions, so that the account does not change with every request
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
        self._measured: dict[str, int] = {}

    @property
    def reserved(self) -> Mapping[str, int]:
        """Returns the bytes that each holder has reserved."""
        return MappingProxyType(self._reserved)

    @property
    def total(self) -> int:
        """Returns the bytes reserved by all holders."""
        return sum(self._reserved.values())

    @property
    def excess(self) -> int:
        """Returns the bytes that holders really have beyond what they have reserved, all of them together."""
        return sum(max(0, size - self._reserved[holder]) for holder, size in self._measured.items() if holder in self._reserved)

    @property
    def free(self) -> int:
        """Returns the bytes that can be reserved still; negative where the limit was lowered below what is, or more is really held."""
        return self.limit - self.total - self.excess

    def measure(self, holder: str, size: int) -> None:
        """Takes in that ``holder`` really has ``size`` bytes, give or take a ``STEP``: what it has beyond its reservation nobody else can
        have.
        """
        known = self._measured.get(holder, 0)
        if not known - STEP <= size < known + STEP:
            self._measured[holder] = size // STEP * STEP

    def by_model(self) -> dict[str, int]:
        """Returns the bytes that each model has reserved, all its workers together."""
        found: dict[str, int] = {}
        for holder, amount in self._reserved.items():
            found[model_of(holder)] = found.get(model_of(holder), 0) + amount
        return found

    def of(self, model: str) -> list[str]:
        """Returns the holders of one model."""
        return [holder for holder in self._reserved if model_of(holder) == model]

    def taken(self, holder: str) -> int:
        """Returns the bytes that nobody else can have because of ``holder``: what it has reserved, or really holds where that is more."""
        reserved = self._reserved.get(holder)
        return 0 if reserved is None else max(reserved, self._measured.get(holder, 0))

    def reserve(self, holder: str, amount: int) -> bool:
        """Takes ``amount`` bytes, in place of what ``holder`` has; False if there is not so much, and nothing has changed."""
        if self._growth(holder, amount) > max(self.free, 0):
            return False
        self._reserved[holder] = amount
        return True

    def release(self, holder: str) -> None:
        """Gives all of it back; a holder that has nothing may do so too."""
        self._reserved.pop(holder, None)
        self._measured.pop(holder, None)

    def _growth(self, holder: str, amount: int) -> int:
        """Returns how much less would be free if ``holder`` had ``amount`` reserved."""
        return max(amount, self._measured.get(holder, 0)) - self.taken(holder)
