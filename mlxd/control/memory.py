"""The memory of all models: the ledger, and who gives way to whom.

A model that somebody asks for may push others out that nobody uses now and that are not pinned, the least recently used first. Models
that load by themselves, at start or after a reload, push nobody out.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import structlog

from mlxd.config.units import format_size
from mlxd.control.ledger import Ledger

_log = structlog.get_logger(__name__)


class Holder(Protocol):
    """A model, as one who may give way."""

    @property
    def name(self) -> str:
        """Its id."""

    @property
    def gives_way_in(self) -> float | None:
        """Seconds until it may have to, for another model; None: not while things are as they are."""

    @property
    def leaving(self) -> Collection[str]:
        """Its holders in the ledger whose memory will be free without anybody's doing."""

    @property
    def last_used(self) -> float:
        """Monotonic seconds."""

    def unload(self) -> None:
        """Give way."""

    def memory_freed(self, free: int) -> None:
        """So many bytes can be reserved now; whoever waits for that may try again."""

    async def wait_gone(self) -> None:
        """Until it has."""


class ModelMemory:
    """Implements ``workers.Memory``. ``holders``: all models, asked anew each time."""

    def __init__(self, ledger: Ledger, holders: Callable[[], Iterable[Holder]]) -> None:
        self.ledger = ledger
        self._holders = holders
        self._freed = asyncio.Event()

    def reserve(self, holder: str, amount: int) -> bool:
        """See ``Ledger.reserve``."""
        before = self.ledger.free
        done = self.ledger.reserve(holder, amount)
        if self.ledger.free > before:
            self._tell_of_freed()
        return done

    def release(self, holder: str) -> None:
        """See ``Ledger.release``."""
        before = self.ledger.free
        self.ledger.release(holder)
        if self.ledger.free > before:
            self._tell_of_freed()

    def set_limit(self, limit: int) -> None:
        """``memory.limit`` is another. Nothing reserved is taken back."""
        before, self.ledger.limit = self.ledger.limit, limit
        if limit > before:
            self._tell_of_freed()

    def _tell_of_freed(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()
        for one in list(self._holders()):
            one.memory_freed(self.ledger.free)

    def reclaimable(self, model: str) -> int:
        """See ``workers.Memory``."""
        reserved = self.by_model()
        return self.ledger.free + self._leaving() + sum(reserved[one.name] for one in self._yielding(model))

    async def wait_for_leaving(self, model: str, amount: int) -> None:
        """See ``workers.Memory``."""
        while self.ledger.free < amount <= self.ledger.free + self._leaving(but=model):
            await self._freed.wait()

    async def reclaim(self, model: str, amount: int) -> None:
        """See ``workers.Memory``. A model that has just been loaded stays for its ``lifecycle.residence``: two that do not fit side by side
        change places so often at most, however requests for them alternate.
        """
        while self.ledger.free < amount <= self.reclaimable(model):
            candidates = self._yielding(model)
            victims = [one for one in candidates if one.gives_way_in == 0]
            if victims:
                victim = min(victims, key=lambda one: one.last_used)
                _log.info("model_gives_way", model=victim.name, to=model)
                victim.unload()
                await victim.wait_gone()
            else:
                await self._wait_freed(min((one.gives_way_in or 0.0 for one in candidates), default=None))

    async def _wait_freed(self, longest: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._freed.wait()

    def _leaving(self, *, but: str = "") -> int:
        """Bytes that will be free without anybody's doing, of all models ``but`` one."""
        reserved = self.ledger.reserved
        return sum(reserved.get(holder, 0) for one in self._holders() if one.name != but for holder in one.leaving)

    def _yielding(self, model: str) -> list[Holder]:
        """Those that may give way to it, now or soon, and hold something."""
        reserved = self.by_model()
        return [one for one in self._holders() if one.name != model and one.gives_way_in is not None and reserved.get(one.name)]

    def describe(self) -> str:
        """See ``workers.Memory``."""
        held = ", ".join(f"{model} {format_size(size)}" for model, size in self.by_model().items())
        return f"memory.limit is {format_size(self.ledger.limit)}, of which {held or 'nothing'} is reserved"

    def by_model(self) -> dict[str, int]:
        """Reserved by each model, in bytes: all its workers together."""
        found: dict[str, int] = {}
        for holder, amount in self.ledger.reserved.items():
            model = holder.rpartition("#")[0]
            found[model] = found.get(model, 0) + amount
        return found
