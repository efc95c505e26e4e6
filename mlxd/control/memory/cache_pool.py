"""The pool of caches (``cache.memory = "auto"``): who shares it, and how large each share is at present; see ``auto_cache``."""

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from mlxd.control.memory.auto_cache import AUTO_FRACTION, Member, shares
from mlxd.control.memory.ledger import Ledger, model_of

TakeShare = Callable[[int], None]  # is told the bytes of a share


def available_memory() -> int:
    """Returns the bytes of RAM that the machine could give now."""
    return psutil.virtual_memory().available


@dataclass
class _Share:
    """The share of one worker."""

    member: Member
    take: TakeShare
    size: int = 0


class CachePool:
    """A pool over what ``ledger`` leaves. Holders are those of the ledger, and sizes are in bytes. ``available`` gives what of the RAM is
    free on this machine.
    """

    def __init__(self, ledger: Ledger, available: Callable[[], int] = available_memory) -> None:
        self._ledger = ledger
        self._available = available
        self._shares: dict[str, _Share] = {}
        self._demands: dict[str, int] = {}  # by holder: of those that have not got them yet

    @property
    def size(self) -> int:
        """Returns what a first model of the pool would have, or those in it share."""
        return max((one.member.pool for one in self._shares.values()), default=int(AUTO_FRACTION * self._available()))

    def join(self, holder: str, fixed: int, take: TakeShare) -> None:
        """Lets ``holder`` share the pool from now on; if it does already, with the ``fixed`` bytes that it needs beside its cache now.
        ``take`` is told its share, now and whenever it changes.
        """
        known = self._shares.get(holder)
        if known is None:
            self._shares[holder] = _Share(self.member(fixed), take)
            self.rebalance()
        elif known.member.fixed != fixed:
            known.member = Member(fixed, known.member.pool)
            self.rebalance()

    def member(self, fixed: int) -> Member:
        """Returns what one would be that came now, and needs ``fixed`` bytes beside its cache."""
        return Member(fixed, int(AUTO_FRACTION * self._available()))

    def leave(self, holder: str) -> None:
        """Takes ``holder`` out of the pool, if it is in there."""
        if self._shares.pop(holder, None) is not None:
            self.rebalance()

    def forget(self, holder: str) -> None:
        """Takes ``holder`` out of the pool with whatever it demanded; the pool is not divided anew by that."""
        self._shares.pop(holder, None)
        self._demands.pop(holder, None)

    def demand(self, holder: str, amount: int) -> None:
        """Makes the caches of the pool shrink for ``holder``, which is about to reserve ``amount``."""
        self._demands[holder] = amount
        self.rebalance()

    def met(self, holder: str) -> None:
        """Takes in that ``holder`` has what it demanded, or wants it no more."""
        if self._demands.pop(holder, None) is not None:
            self.rebalance()

    def share_of(self, holder: str) -> int | None:
        """Returns what ``holder`` may have; None where it is not in the pool."""
        return self._shares[holder].size if holder in self._shares else None

    def spare_of(self, holder: str) -> int:
        """Returns what ``holder`` would give back of its share if others needed it."""
        one = self._shares.get(holder)
        if one is None:
            return 0
        cache = self._ledger.reserved.get(holder, 0) - one.member.fixed
        return max(0, min(cache, one.size) - one.member.floor)

    def by_model(self) -> dict[str, int]:
        """Returns the shares that models may have."""
        return {model_of(holder): one.size for holder, one in self._shares.items()}

    def surplus(self) -> dict[str, int]:
        """Returns what holders have reserved beyond their shares, and are about to give back."""
        reserved = self._ledger.reserved
        beyond = {holder: reserved.get(holder, 0) - one.member.fixed - one.size for holder, one in self._shares.items()}
        return {holder: amount for holder, amount in beyond.items() if amount > 0}

    def rebalance(self) -> None:
        """Divides the pool anew, by what the others have reserved or demand."""
        others = sum(amount for holder, amount in self._ledger.reserved.items() if holder not in self._shares)
        room = self._ledger.limit - others - self._ledger.excess - sum(self._demands.values())
        for holder, size in shares({holder: one.member for holder, one in self._shares.items()}, room).items():
            one = self._shares[holder]
            if one.size != size:
                one.size = size
                one.take(size)
