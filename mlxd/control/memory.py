"""The memory of all models: the ledger, and who gives way to whom.

A model that somebody asks for may push others out that nobody uses now and that are not pinned, the least recently used first. Models
that load by themselves, at start or after a reload, push nobody out.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import psutil
import structlog

from mlxd import quantities
from mlxd.control.auto_cache import AUTO_FRACTION, Member, shares
from mlxd.control.ledger import Ledger
from mlxd.wire.messages import NeedsMemory

_log = structlog.get_logger(__name__)


class Holder(Protocol):
    """A model that may give way."""

    @property
    def name(self) -> str:
        """Returns the model's id."""

    @property
    def gives_way_in(self) -> float | None:
        """Returns the seconds until the model may have to give way to another; None while it does not, as things are."""

    @property
    def leaving(self) -> Collection[str]:
        """Returns the model's holders in the ledger whose memory will be free without anybody's doing."""

    @property
    def is_busy(self) -> bool:
        """Tells whether requests for the model run or wait."""

    async def wait_idle(self) -> None:
        """Waits until the model has no request."""

    @property
    def last_used(self) -> float:
        """Returns when the model was used last, in monotonic seconds."""

    def unload(self) -> None:
        """Makes the model give way."""

    def memory_freed(self, free: int) -> None:
        """Hears that ``free`` bytes can be reserved now; whoever waits for that may try again."""

    async def wait_gone(self) -> None:
        """Waits until the model has given way."""


def available_memory() -> int:
    """Returns the bytes of RAM that the machine could give now."""
    return psutil.virtual_memory().available


@dataclass
class _Share:
    """The share of one worker in the pool of caches."""

    member: Member
    take: Callable[[int], None]
    size: int = 0


class ModelMemory:
    """A ledger with giving way, which implements ``workers.Memory``. ``holders`` gives all models and is asked anew each time;
    ``available`` gives the bytes of RAM that this machine has free.
    """

    def __init__(self, ledger: Ledger, holders: Callable[[], Iterable[Holder]], *, available: Callable[[], int] = available_memory) -> None:
        self.ledger = ledger
        self.limit = ledger.limit  # ``memory.limit``; that of the ledger is lower where the device holds less
        self._device: int | None = None  # bytes it holds, as the last worker says that knows
        self._holders = holders
        self._available = available
        self._freed = asyncio.Event()
        self._pool: dict[str, _Share] = {}  # by holder
        self._demands: dict[str, int] = {}  # bytes, by holder: of those that have not got them yet

    def reserve(self, holder: str, amount: int) -> bool:
        """Reserves as ``Ledger.reserve``, and tells the models where memory got free."""
        before = self.ledger.free
        done = self.ledger.reserve(holder, amount)
        if self.ledger.free > before:
            self._tell_of_freed()
        self._rebalance()
        return done

    def release(self, holder: str) -> None:
        """Releases as ``Ledger.release``, takes ``holder`` out of the pool, and tells the models where memory got free."""
        before = self.ledger.free
        self.ledger.release(holder)
        self._pool.pop(holder, None)
        self._demands.pop(holder, None)
        if self.ledger.free > before:
            self._tell_of_freed()
        self._rebalance()

    def set_limit(self, limit: int) -> None:
        """Sets another ``memory.limit``. Nothing reserved is taken back, but caches of the pool shrink or grow by it."""
        self.limit = limit
        self._bound()

    def _bound(self) -> None:
        before, self.ledger.limit = self.ledger.limit, min(self.limit, self._device or self.limit)
        if self.ledger.limit > before:
            self._tell_of_freed()
        self._rebalance()

    def _learn_device(self, size: int | None) -> None:
        """Takes in what a worker knows of its device. A limit beyond that holds no more: models would be paged out under each other."""
        if size is None or size == self._device:
            return
        self._device = size
        if size < self.limit:
            _log.warning("memory_limit_beyond_device", limit=self.limit, device=size)
        self._bound()

    # ---- the pool of caches; see ``auto_cache`` ----

    def demand(self, holder: str, needs: NeedsMemory, take_share: Callable[[int], None] | None) -> "MemoryDemand":
        self._learn_device(needs.device)
        if take_share is None:
            self._demands[holder] = needs.total
            self._rebalance()
        self.share(holder, needs, take_share)
        return MemoryDemand(self, holder, needs)

    def share(self, holder: str, needs: NeedsMemory, take_share: Callable[[int], None] | None) -> None:
        if take_share is not None and holder not in self._pool:
            pool = int(AUTO_FRACTION * self._available())
            self._pool[holder] = _Share(Member(needs.weights + needs.transients, pool), take_share)
            self._rebalance()
        elif take_share is None and self._pool.pop(holder, None) is not None:
            self._rebalance()

    def share_of(self, holder: str) -> int | None:
        """Returns the bytes of the pool that ``holder`` may have; None where it is not in it."""
        return self._pool[holder].size if holder in self._pool else None

    def floor_of(self, holder: str) -> int:
        """Returns the least that ``holder`` takes of the pool, in bytes."""
        return self._pool[holder].member.floor

    def shares(self) -> dict[str, int]:
        """Returns the parts of the pool that models may have, in bytes."""
        return {holder.rpartition("#")[0]: one.size for holder, one in self._pool.items()}

    def pool(self) -> int:
        """Returns the bytes that a first model of the pool would have, or those in it share."""
        return max((one.member.pool for one in self._pool.values()), default=int(AUTO_FRACTION * self._available()))

    def met(self, holder: str) -> None:
        """Takes in that what ``holder`` demanded is reserved."""
        if self._demands.pop(holder, None) is not None:
            self._rebalance()

    def _rebalance(self) -> None:
        others = sum(amount for holder, amount in self.ledger.reserved.items() if holder not in self._pool)
        room = self.ledger.limit - others - sum(self._demands.values())
        for holder, size in shares({holder: one.member for holder, one in self._pool.items()}, room).items():
            one = self._pool[holder]
            if one.size != size:
                one.size = size
                one.take(size)

    # ---- giving way ----

    def _tell_of_freed(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()
        for one in list(self._holders()):
            one.memory_freed(self.ledger.free)

    def reclaimable(self, model: str) -> int:
        reserved = self.by_model()
        return self.ledger.free + self._leaving() + sum(reserved[one.name] for one in self._yielding(model))

    async def wait_for_leaving(self, model: str, amount: int) -> None:
        while self.ledger.free < amount <= self.ledger.free + self._leaving(but=model):
            await self._freed.wait()

    async def reclaim(self, model: str, amount: int) -> None:
        """Lets models give way as ``workers.Memory`` says. A model that has just been loaded stays for its ``lifecycle.residence``: two
        that do not fit side by side change places so often at most, however requests for them alternate.
        """
        waited_for: set[str] = set()
        while self.ledger.free < amount and (candidates := self._enough(model, amount, waited_for)):
            times = {one.name: one.gives_way_in for one in candidates}
            victims = [one for one in candidates if times[one.name] == 0]
            if victims:
                victim = min(victims, key=lambda one: one.last_used)
                _log.info("model_gives_way", model=victim.name, to=model)
                victim.unload()
                await victim.wait_gone()
            else:
                waited_for |= times.keys()
                await self._wait_for_any(candidates, min((wait for wait in times.values() if wait is not None), default=None))

    def _enough(self, model: str, amount: int, waited_for: Collection[str]) -> list[Holder]:
        """Returns the models that may give way, if they are enough. One that has been waited for is not given up because a request for it
        has come.
        """
        reserved = self.by_model()
        busy = [one for one in self._holders() if one.name in waited_for and one.is_busy and one.name != model]
        found = [*self._yielding(model), *busy]
        free = self.ledger.free + self._leaving()
        return found if amount <= free + sum(reserved.get(one.name, 0) for one in found) else []

    async def _wait_for_any(self, holders: Iterable[Holder], longest: float | None) -> None:
        """Waits until one of ``holders`` is idle where all are busy, or memory is free, or ``longest`` seconds have passed."""
        if longest is not None:
            await self._wait_freed(longest)
            return
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(one.wait_idle()) for one in holders]
        waiting.append(asyncio.ensure_future(self._freed.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _wait_freed(self, longest: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._freed.wait()

    def _leaving(self, *, but: str = "") -> int:
        """Returns the bytes that will be free without anybody's doing, of all models ``but`` one."""
        reserved = self.ledger.reserved
        leaving = {holder for one in self._holders() if one.name != but for holder in one.leaving}
        shrinking = [
            reserved.get(holder, 0) - one.member.fixed - one.size
            for holder, one in self._pool.items()
            if holder not in leaving and holder.rpartition("#")[0] != but
        ]
        return sum(reserved.get(holder, 0) for holder in leaving) + sum(size for size in shrinking if size > 0)

    def _yielding(self, model: str) -> list[Holder]:
        """Returns the models that may give way to ``model``, now or soon, and hold something."""
        reserved = self.by_model()
        return [one for one in self._holders() if one.name != model and one.gives_way_in is not None and reserved.get(one.name)]

    def describe(self) -> str:
        held = ", ".join(f"{model} {quantities.size(reserved)}" for model, reserved in self.by_model().items())
        what = "memory.limit is" if self.ledger.limit == self.limit else "the device holds"
        return f"{what} {quantities.size(self.ledger.limit)}, of which {held or 'nothing'} is reserved"

    def by_model(self) -> dict[str, int]:
        """Returns the bytes that each model has reserved, all its workers together."""
        found: dict[str, int] = {}
        for holder, amount in self.ledger.reserved.items():
            model = holder.rpartition("#")[0]
            found[model] = found.get(model, 0) + amount
        return found


class MemoryDemand:
    """A demand on ``ModelMemory``, which implements ``workers.Demand``."""

    def __init__(self, memory: ModelMemory, holder: str, needs: NeedsMemory) -> None:
        self.granted: int | None = None
        self._memory = memory
        self._holder = holder
        self._fixed = needs.weights + needs.transients
        self._is_shared = memory.share_of(holder) is not None
        self.needs = msgspec.structs.replace(needs, cache=memory.floor_of(holder)) if self._is_shared else needs

    @property
    def wanted(self) -> int:
        """Returns the bytes that the worker would take, with its share of the pool as it is now."""
        share = self._memory.share_of(self._holder)
        return self.needs.total if share is None else self._fixed + share

    def take(self) -> bool:
        """Reserves as much as is wanted, or of a share what there is. Returns False where there is not enough."""
        amount = max(self.needs.total, min(self.wanted, self._memory.ledger.free))
        if not self._memory.reserve(self._holder, amount):
            return False
        self._memory.met(self._holder)
        if self._is_shared:
            self.granted = amount - self._fixed
        return True

    def withdraw(self) -> None:
        """Gives the memory back: others may have it."""
        self._memory.release(self._holder)
