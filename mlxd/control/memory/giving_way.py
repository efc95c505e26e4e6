"""Who gives way to whom: a model that somebody asks for may push others out that nobody uses now and that are not pinned, the least
recently used first. Models that load by themselves, at start or after a reload, push nobody out.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import structlog

from mlxd.control.memory.cache_pool import CachePool
from mlxd.control.memory.governor import Resident
from mlxd.control.memory.ledger import Ledger, model_of

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

    @property
    def resident(self) -> Resident | None:
        """Returns what there is to know of the model where it has a worker, else None."""

    @property
    def held_bytes(self) -> Mapping[str, int]:
        """Returns what each of the model's holders in the ledger really has, as far as is known."""

    def unload(self) -> None:
        """Makes the model give way."""

    def terms_changed(self) -> None:
        """Hears that its workers are held to something else."""

    def memory_freed(self, free: int) -> None:
        """Hears that ``free`` bytes can be reserved now; whoever waits for that may try again."""

    async def wait_gone(self) -> None:
        """Waits until the model has given way."""


class GivingWay:
    """The models that hold memory, as those who want some see them. ``holders`` gives all models and is asked anew each time."""

    def __init__(self, ledger: Ledger, pool: CachePool, holders: Callable[[], Iterable[Holder]]) -> None:
        self._ledger = ledger
        self._pool = pool
        self._holders = holders
        self._freed = asyncio.Event()

    def tell_of_freed(self) -> None:
        """Tells everybody that memory has got free."""
        self._freed.set()
        self._freed = asyncio.Event()
        for one in list(self._holders()):
            one.memory_freed(self._ledger.free)

    def reclaimable(self, model: str) -> int:
        """Returns the bytes there would be for ``model`` if all gave way to it that may, now or soon."""
        reserved = self._ledger.by_model()
        return self._ledger.free + self._leaving() + sum(reserved[one.name] for one in self._yielding(model))

    async def wait_for_leaving(self, model: str, amount: int) -> None:
        """Waits while what is free does not suffice, but is ``amount`` bytes together with what leaves anyway."""
        while self._ledger.free < amount <= self._ledger.free + self._leaving(but=model):
            await self._freed.wait()

    async def reclaim(self, model: str, amount: int) -> None:
        """Lets other models give way to ``model``, those that may, until ``amount`` bytes are free; where that cannot be, nobody has to.
        One that has just been loaded stays for its ``lifecycle.residence``: two that do not fit side by side change places so often at
        most, however requests for them alternate.
        """
        waited_for: set[str] = set()
        while self._ledger.free < amount and (candidates := self._enough(model, amount, waited_for)):
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
        reserved = self._ledger.by_model()
        busy = [one for one in self._holders() if one.name in waited_for and one.is_busy and one.name != model]
        found = [*self._yielding(model), *busy]
        free = self._ledger.free + self._leaving()
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
        reserved = self._ledger.reserved
        leaving = {holder for one in self._holders() if one.name != but for holder in one.leaving}
        shrinking = [amount for holder, amount in self._pool.surplus().items() if holder not in leaving and model_of(holder) != but]
        return sum(reserved.get(holder, 0) for holder in leaving) + sum(shrinking)

    def _yielding(self, model: str) -> list[Holder]:
        """Returns the models that may give way to ``model``, now or soon, and hold something."""
        reserved = self._ledger.by_model()
        return [one for one in self._holders() if one.name != model and one.gives_way_in is not None and reserved.get(one.name)]
