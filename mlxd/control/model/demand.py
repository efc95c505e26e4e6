"""What a model's workers ask of the memory that all models share, and what they are held to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mlxd.cache_terms import CacheQuota
from mlxd.control.memory.exchange import Claim, Outlook
from mlxd.types import Restraint
from mlxd.wire.messages import NeedsMemory


@dataclass(frozen=True)
class HeldTo:
    """What one worker is held to, whatever its model's table says: a restraint, so many bytes that it may keep resident, and what of its
    cache belongs to the holders of keys.
    """

    restraint: Restraint = field(default_factory=Restraint)
    wired_bytes: int = 0
    quotas: tuple[CacheQuota, ...] = ()


class Demand(Protocol):
    """The memory that one worker wants, until it has it."""

    needs: NeedsMemory  # at the least

    @property
    def wanted(self) -> int:
        """Returns the bytes that the worker would take now."""

    @property
    def granted(self) -> int | None:
        """Returns the bytes of cache that the worker was given, where that is of the pool, else None."""

    def enter(self) -> None:
        """Lets the caches of others shrink for it."""

    def take(self) -> bool:
        """Reserves the memory; False where there is not so much now."""

    def withdraw(self) -> None:
        """Gives the demand up."""


class Turn(Protocol):
    """A claim that waits until it is its turn. ``met`` says at last whether there is memory for it."""

    met: asyncio.Future[bool]

    @property
    def is_met(self) -> bool:
        """Tells whether its memory is reserved."""

    def withdraw(self) -> None:
        """Ends the claim, whether it was met or not."""


class Memory(Protocol):
    """The account of memory for all models."""

    @property
    def patience(self) -> float:
        """Returns the seconds that a request waits for its model's turn."""

    @property
    def is_crowded(self) -> bool:
        """Tells whether as many requests wait for their models as may."""

    def reserve(self, holder: str, amount: int) -> bool:
        """Reserves bytes, and tells whether there was room for them, as ``Ledger.reserve`` does."""

    def release(self, holder: str) -> None:
        """Releases what a holder has reserved, as ``Ledger.release`` does."""

    def reclaimable(self, model: str) -> int:
        """Returns the bytes there would be for ``model`` if all gave way to it that may, now or soon."""

    async def wait_for_leaving(self, model: str, amount: int) -> None:
        """Waits while what is free does not suffice, but is ``amount`` bytes together with what leaves anyway."""

    def claim(self, claim: Claim, demand: Demand) -> Turn:
        """Lets ``demand`` wait for its turn: others give way to it, those that may, as soon as they have to. Whoever claims withdraws."""

    def is_closed(self, model: str) -> bool:
        """Tells whether ``model`` is to give way to others, so that new requests for it wait."""

    def outlook(self, model: str) -> Outlook | None:
        """Returns when ``model`` has its turn, as it is closed or has a claim; else None."""

    def note(self) -> None:
        """Takes in that something may have changed that others wait for."""

    def demand(self, holder: str, needs: NeedsMemory, take_share: Callable[[int], None] | None) -> Demand:
        """Takes in that ``holder`` wants memory: caches of the pool shrink for it, as soon as that helps. With ``take_share`` it joins the
        pool then, and is told its share of it from then on, whenever that changes.
        """

    def share(self, holder: str, needs: NeedsMemory, take_share: Callable[[int], None] | None) -> None:
        """Takes in that ``holder`` has memory, and is in the pool from now on, or with None is not."""

    def held_to(self, holder: str) -> "HeldTo":
        """Returns what the worker is held to, as things are."""

    def admits(self, model: str) -> bool:
        """Tells whether a worker of ``model`` may be loaded now, if there is memory for it."""

    def describe(self) -> str:
        """Describes the limit, and who has how much of it."""
