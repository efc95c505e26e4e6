"""The memory of all models, as their supervisors see it: one ledger, whose limit the device bounds too, and what follows from changes."""

from collections.abc import Callable, Iterable

import msgspec
import structlog
from typing_extensions import override

from mlxd import quantities
from mlxd.control.memory.cache_pool import CachePool, TakeShare, available_memory
from mlxd.control.memory.giving_way import GivingWay, Holder
from mlxd.control.memory.ledger import Ledger
from mlxd.control.model.workers import Demand, Memory
from mlxd.wire.messages import NeedsMemory

_log = structlog.get_logger(__name__)


class ModelMemory(Memory):
    """A ledger with giving way. ``holders`` gives all models and is asked anew each time; ``available`` gives the bytes of RAM that this
    machine has free.
    """

    def __init__(self, ledger: Ledger, holders: Callable[[], Iterable[Holder]], *, available: Callable[[], int] = available_memory) -> None:
        self.ledger = ledger
        self.limit = ledger.limit  # ``memory.limit``; that of the ledger is lower where the device holds less
        self.pool = CachePool(ledger, available)
        self._device: int | None = None  # bytes it holds, as the last worker says that knows
        self._giving_way = GivingWay(ledger, self.pool, holders)

    @override
    def reserve(self, holder: str, amount: int) -> bool:
        """Reserves as ``Ledger.reserve``, and tells the models where memory got free."""
        before = self.ledger.free
        done = self.ledger.reserve(holder, amount)
        self._changed(before)
        return done

    @override
    def release(self, holder: str) -> None:
        """Releases as ``Ledger.release``, takes ``holder`` out of the pool, and tells the models where memory got free."""
        before = self.ledger.free
        self.ledger.release(holder)
        self.pool.leave(holder)
        self.pool.met(holder)
        self._changed(before)

    def set_limit(self, limit: int) -> None:
        """Sets another ``memory.limit``. Nothing reserved is taken back, but caches of the pool shrink or grow by it."""
        self.limit = limit
        self._bound()

    def _bound(self) -> None:
        before, self.ledger.limit = self.ledger.free, min(self.limit, self._device or self.limit)
        self._changed(before)

    def _changed(self, free_before: int) -> None:
        if self.ledger.free > free_before:
            self._giving_way.tell_of_freed()
        self.pool.rebalance()

    def _learn_device(self, size: int | None) -> None:
        """Takes in what a worker knows of its device. A limit beyond that holds no more: models would be paged out under each other."""
        if size is None or size == self._device:
            return
        self._device = size
        if size < self.limit:
            _log.warning("memory_limit_beyond_device", limit=self.limit, device=size)
        self._bound()

    @override
    def demand(self, holder: str, needs: NeedsMemory, take_share: TakeShare | None) -> "MemoryDemand":
        self._learn_device(needs.device)
        if take_share is None:
            self.pool.demand(holder, needs.total)
        self.share(holder, needs, take_share)
        return MemoryDemand(self, holder, needs)

    @override
    def share(self, holder: str, needs: NeedsMemory, take_share: TakeShare | None) -> None:
        if take_share is not None:
            self.pool.join(holder, needs.beside_cache, take_share)
        else:
            self.pool.leave(holder)

    @override
    def reclaimable(self, model: str) -> int:
        return self._giving_way.reclaimable(model)

    @override
    async def wait_for_leaving(self, model: str, amount: int) -> None:
        await self._giving_way.wait_for_leaving(model, amount)

    @override
    async def reclaim(self, model: str, amount: int) -> None:
        await self._giving_way.reclaim(model, amount)

    @override
    def describe(self) -> str:
        held = ", ".join(f"{model} {quantities.size(reserved)}" for model, reserved in self.ledger.by_model().items())
        what = "memory.limit is" if self.ledger.limit == self.limit else "the device holds"
        return f"{what} {quantities.size(self.ledger.limit)}, of which {held or 'nothing'} is reserved"


class MemoryDemand(Demand):
    """A demand on ``ModelMemory``."""

    def __init__(self, memory: ModelMemory, holder: str, needs: NeedsMemory) -> None:
        self._granted: int | None = None
        self._memory = memory
        self._holder = holder
        self._fixed = needs.beside_cache
        self._is_shared = memory.pool.share_of(holder) is not None
        self.needs = msgspec.structs.replace(needs, cache=memory.pool.floor_of(holder)) if self._is_shared else needs

    @property
    @override
    def granted(self) -> int | None:
        return self._granted

    @property
    @override
    def wanted(self) -> int:
        """Returns the bytes that the worker would take, with its share of the pool as it is now."""
        share = self._memory.pool.share_of(self._holder)
        return self.needs.total if share is None else self._fixed + share

    @override
    def take(self) -> bool:
        """Reserves as much as is wanted, or of a share what there is. Returns False where there is not enough."""
        amount = max(self.needs.total, min(self.wanted, self._memory.ledger.free))
        if not self._memory.reserve(self._holder, amount):
            return False
        self._memory.pool.met(self._holder)
        if self._is_shared:
            self._granted = amount - self._fixed
        return True

    @override
    def withdraw(self) -> None:
        """Gives the memory back: others may have it."""
        self._memory.release(self._holder)
