"""The memory of all models, as their supervisors see it: one ledger, whose limit the device bounds too, and what follows from changes."""

from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog
from typing_extensions import override

from mlxd import quantities
from mlxd.cache_terms import CacheQuota
from mlxd.control.memory.cache_pool import CachePool, TakeShare, available_memory
from mlxd.control.memory.exchange import Claim, Outlook
from mlxd.control.memory.giving_way import ExchangeState, ExchangeTelemetry, GivingWay, Silence, Waiting
from mlxd.control.memory.holder import Holder
from mlxd.control.memory.ledger import Ledger, model_of
from mlxd.control.memory.waiting_bounds import WaitingBounds
from mlxd.control.model.demand import Demand, HeldTo, Memory
from mlxd.types import Restraint
from mlxd.wire.messages import NeedsMemory

_log = structlog.get_logger(__name__)


class ModelMemory(Memory):
    """A ledger with giving way. ``holders`` gives all models and is asked anew each time; ``available`` gives the bytes of RAM that this
    machine has free.
    """

    def __init__(
        self,
        ledger: Ledger,
        holders: Callable[[], Iterable[Holder]],
        *,
        available: Callable[[], int] = available_memory,
        telemetry: ExchangeTelemetry | None = None,
    ) -> None:
        self.ledger = ledger
        self.limit = ledger.limit  # ``memory.limit``; that of the ledger is lower where the device holds less
        self.pool = CachePool(ledger, available)
        self.wired_limit = 0  # ``memory.wired_limit``
        self.waiting_bounds = WaitingBounds()
        self.quotas: Mapping[str, tuple[CacheQuota, ...]] = {}  # of keys, by model
        self.holders = holders
        self._restraint = Restraint()
        self._admits_models = True
        self._device: int | None = None  # bytes it holds, as the last worker says that knows
        self._giving_way = GivingWay(ledger, self.pool, holders, admits=self.admits, telemetry=telemetry or Silence())

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
        self.pool.forget(holder)
        self._changed(before)

    def set_limit(self, limit: int) -> None:
        """Sets another ``memory.limit``. Nothing reserved is taken back, but caches of the pool shrink or grow by it."""
        self.limit = limit
        self._bound()

    def set_waiting(self, bounds: WaitingBounds) -> None:
        """Sets how many requests may wait for their models, and how long each, from now on."""
        if bounds != self.waiting_bounds:
            self.waiting_bounds = bounds
            self._tell_of_terms()

    def set_wired_limit(self, size: int) -> None:
        """Sets another ``memory.wired_limit``, of which each worker has a part as large as its part of what is reserved."""
        if size != self.wired_limit:
            if size:
                _log.warning("memory_wired", limit=size)
            self.wired_limit = size
            self._tell_of_terms()

    def set_quotas(self, quotas: Mapping[str, tuple[CacheQuota, ...]]) -> None:
        """Sets what of each model's cache belongs to the holders of keys."""
        changed, self.quotas = quotas != self.quotas, quotas
        if changed:
            self._tell_of_terms()

    def restrain(self, restraint: Restraint, *, admits_models: bool) -> None:
        """Holds all workers to a restraint from now on. Where no models are admitted, none is loaded that has no worker."""
        opens = admits_models and not self._admits_models
        changed, self._restraint, self._admits_models = restraint != self._restraint, restraint, admits_models
        if changed:
            self._tell_of_terms()
        if opens:
            self._giving_way.tell_of_freed()

    def measure(self) -> None:
        """Takes in what the workers really hold."""
        before, excess = self.ledger.free, self.ledger.excess
        for one in self.holders():
            for holder, size in one.held_bytes.items():
                self.ledger.measure(holder, size)
        if self.ledger.excess > excess:
            _log.warning("memory_beyond_reservation", excess=self.ledger.excess)
        if self.ledger.free != before:
            self._changed(before)

    def _tell_of_terms(self) -> None:
        for one in list(self.holders()):
            one.terms_changed()

    @override
    def admits(self, model: str) -> bool:
        """Tells whether a worker of ``model`` may be loaded: also where none is admitted, one may take the place of another."""
        return self._admits_models or model in self.ledger.by_model()

    def _bound(self) -> None:
        before, self.ledger.limit = self.ledger.free, min(self.limit, self._device or self.limit)
        self._changed(before)

    def _changed(self, free_before: int) -> None:
        if self.ledger.free > free_before:
            self._giving_way.tell_of_freed()
        self.pool.rebalance()
        self._giving_way.note()
        if self.wired_limit:
            self._tell_of_terms()

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
        demand = MemoryDemand(self, holder, needs, take_share)
        if demand.needs.total <= self._giving_way.coming():
            demand.enter()
        return demand

    @override
    def share(self, holder: str, needs: NeedsMemory, take_share: TakeShare | None) -> None:
        if take_share is not None:
            self.pool.join(holder, needs.beside_cache, take_share)
        else:
            self.pool.leave(holder)
        self._giving_way.note()

    @override
    def reclaimable(self, model: str) -> int:
        return self._giving_way.reclaimable(model) if self.admits(model) else 0

    @override
    async def wait_for_leaving(self, model: str, amount: int) -> None:
        if self.admits(model):
            await self._giving_way.wait_for_leaving(model, amount)

    @override
    def claim(self, claim: Claim, demand: Demand) -> Waiting:
        return self._giving_way.claim(claim, demand)

    @override
    def is_closed(self, model: str) -> bool:
        return self._giving_way.is_closed(model)

    @override
    def outlook(self, model: str) -> Outlook | None:
        return self._giving_way.outlook(model)

    @override
    def note(self) -> None:
        self._giving_way.note()

    @property
    def exchange(self) -> ExchangeState:
        """Returns who waits for a place, and who is about to leave one."""
        return self._giving_way.state

    @property
    @override
    def is_crowded(self) -> bool:
        return sum(one.requests_waiting for one in self.holders()) >= self.waiting_bounds.most

    @property
    @override
    def patience(self) -> float:
        return self.waiting_bounds.patience

    @override
    def held_to(self, holder: str) -> HeldTo:
        total = max(1, self.ledger.total)
        wired = self.wired_limit * self.ledger.reserved.get(holder, 0) // total
        return HeldTo(self._restraint, wired, self.quotas.get(model_of(holder), ()))

    def may_take(self, holder: str) -> bool:
        """Tells whether ``holder`` may reserve memory now, if there is enough."""
        return self.admits(model_of(holder))

    @override
    def describe(self) -> str:
        if not self._admits_models:
            return "the machine is short of memory, and no model is loaded until that is over"
        held = ", ".join(f"{model} {quantities.size(reserved)}" for model, reserved in self.ledger.by_model().items())
        what = "memory.limit is" if self.ledger.limit == self.limit else "the device holds"
        return f"{what} {quantities.size(self.ledger.limit)}, of which {held or 'nothing'} is reserved"


class MemoryDemand(Demand):
    """A demand on ``ModelMemory``. Until it has been entered, no cache shrinks for it."""

    def __init__(self, memory: ModelMemory, holder: str, needs: NeedsMemory, take_share: TakeShare | None) -> None:
        self._granted: int | None = None
        self._memory = memory
        self._holder = holder
        self._fixed = needs.beside_cache
        self._take_share = take_share
        self._is_entered = False
        self.needs = needs if take_share is None else msgspec.structs.replace(needs, cache=memory.pool.member(self._fixed).floor)

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
    def enter(self) -> None:
        """Makes caches of the pool shrink for it; with a share it is one of them from now on."""
        if self._is_entered:
            return
        self._is_entered = True
        if self._take_share is None:
            self._memory.pool.demand(self._holder, self.needs.total)
        self._memory.share(self._holder, self.needs, self._take_share)

    @override
    def take(self) -> bool:
        """Reserves as much as is wanted, or of a share what there is. Returns False where there is not enough."""
        if not self._memory.may_take(self._holder) or self.needs.total > self._memory.ledger.free:
            return False
        self.enter()
        self._memory.pool.rebalance()  # whoever has just gone is not in it any more
        amount = max(self.needs.total, min(self.wanted, self._memory.ledger.free))
        if not self._memory.reserve(self._holder, amount):
            return False
        self._memory.pool.met(self._holder)
        if self._take_share is not None:
            self._granted = amount - self._fixed
        return True

    @override
    def withdraw(self) -> None:
        """Gives the memory back: others may have it."""
        self._memory.release(self._holder)
