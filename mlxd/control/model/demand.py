"""What a model's workers ask of the memory that all models share, and what they are held to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mlxd.types import Restraint
from mlxd.wire.messages import NeedsMemory


@dataclass(frozen=True)
class HeldTo:
    """What one worker is held to, whatever its model's table says: a restraint, and so many bytes that it may keep resident."""

    restraint: Restraint = field(default_factory=Restraint)
    wired_bytes: int = 0


class Demand(Protocol):
    """The memory that one worker wants, until it has it."""

    needs: NeedsMemory  # at the least

    @property
    def wanted(self) -> int:
        """Returns the bytes that the worker would take now."""

    @property
    def granted(self) -> int | None:
        """Returns the bytes of cache that the worker was given, where that is of the pool, else None."""

    def take(self) -> bool:
        """Reserves the memory; False where there is not so much now."""

    def withdraw(self) -> None:
        """Gives the demand up."""


class Memory(Protocol):
    """The account of memory for all models."""

    def reserve(self, holder: str, amount: int) -> bool:
        """Reserves as ``Ledger.reserve``."""

    def release(self, holder: str) -> None:
        """Releases as ``Ledger.release``."""

    def reclaimable(self, model: str) -> int:
        """Returns the bytes there would be for ``model`` if all gave way to it that may, now or soon."""

    async def wait_for_leaving(self, model: str, amount: int) -> None:
        """Waits while what is free does not suffice, but is ``amount`` bytes together with what leaves anyway."""

    async def reclaim(self, model: str, amount: int) -> None:
        """Lets other models give way to ``model``, those that may, until ``amount`` bytes are free. Where that cannot be, nobody has to."""

    def demand(self, holder: str, needs: NeedsMemory, take_share: Callable[[int], None] | None) -> Demand:
        """Takes in that ``holder`` wants memory: caches of the pool shrink for it. With ``take_share`` it joins the pool, and is told its
        share of it from then on, whenever that changes.
        """

    def share(self, holder: str, needs: NeedsMemory, take_share: Callable[[int], None] | None) -> None:
        """Takes in that ``holder`` has memory, and is in the pool from now on, or with None is not."""

    def held_to(self, holder: str) -> "HeldTo":
        """Returns what the worker is held to, as things are."""

    def admits(self, model: str) -> bool:
        """Tells whether a worker of ``model`` may be loaded now, if there is memory for it."""

    def describe(self) -> str:
        """Describes the limit, and who has how much of it."""
