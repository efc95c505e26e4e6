"""Which cached block is the next to go: the least recently used one of whoever has more than is his, and never one that is pinned.

A holder of a key with a quota has an account of blocks; all others share one, whose quota is the rest. What nobody else uses, anybody may
take; once it is wanted, those lose it first that have most beyond their quotas. While nobody has more, the least recently used one goes,
whoever's it is. (Linux's cgroups protect memory so, by ``memory.low``.)

A block is charged to who used it last. Where others have used it before, it is theirs again before it goes: what two share is lost by the
last of them. So each use is passed on once at most, and the next to go is found in O(accounts), however many blocks there are.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

_NOBODY = ""  # who asks without a key that has a name


@dataclass(eq=False)
class _Account:
    """Blocks, used and cached ones, that are charged to those who share a quota. Pinned ones are nobody's."""

    quota: int = 0
    charged: int = 0
    order: dict[int, None] = field(default_factory=dict)  # cached ones that may go, least recently used first


@dataclass(frozen=True)
class Turn:
    """Whose blocks go next, at most so many at once. It is due where that one has more than is his. It holds until anything changes."""

    order: "EvictionOrder"
    account: _Account
    most: int
    is_due: bool

    def __iter__(self) -> Iterator[int]:
        """Yields the blocks that may go, the least recently used first."""
        return iter(self.account.order)

    def may_go(self, block: int) -> bool:
        """Tells whether a block that nobody holds is not cached at all, or may go and is older than half of what may."""
        used = self.order.used_at(block)
        if used is None:
            return True
        if block not in self.account.order or self.order.is_shared(block):
            return False
        oldest = self.order.used_at(next(iter(self.account.order))) or 0
        return 4 * used <= 3 * self.order.uses + oldest


class EvictionOrder:
    """The cached blocks of a pool of ``capacity`` blocks, and who has used what. ``uses`` counts how often a block became cached."""

    def __init__(self, capacity: int, shares: Mapping[str, float] | None = None) -> None:
        self._capacity = capacity
        self._shares: dict[str, float] = dict(shares or {})
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets all blocks; quotas stay."""
        self.uses = 0
        self._used_at: dict[int, int] = {}  # cached blocks, pinned ones too -> when they became so
        self._user: dict[int, str] = {}  # used or cached blocks -> who used them last
        self._others: dict[int, tuple[str, ...]] = {}  # blocks -> who else has used them, of other accounts, the latest first
        self._pins: dict[int, int] = {}  # blocks -> how often they are pinned
        self._idle_pins = 0  # pinned ones that are cached
        self._held: Counter[str] = Counter()  # blocks by who used them last
        self._accounts = {name: _Account() for name in (_NOBODY, *self._shares)}
        self._set_quotas()

    # ---- what there is ----

    def __len__(self) -> int:
        """Returns how many blocks are cached, pinned ones included."""
        return len(self._used_at)

    def __iter__(self) -> Iterator[int]:
        """Yields all cached blocks, pinned ones included."""
        return iter(self._used_at)

    def __contains__(self, block: object) -> bool:
        return block in self._used_at

    @property
    def users(self) -> Mapping[int, str]:
        """Returns who was the last to use each block that is used or cached."""
        return self._user

    @property
    def evictable(self) -> int:
        """Returns how many cached blocks may go."""
        return len(self._used_at) - self._idle_pins

    @property
    def pinned(self) -> int:
        """Returns how many blocks are pinned, used or cached."""
        return len(self._pins)

    def is_pinned(self, block: int) -> bool:
        """Tells whether a block stays whatever happens."""
        return block in self._pins

    def is_shared(self, block: int) -> bool:
        """Tells whether others than who used a block last would lose it, too."""
        return block in self._others

    def used_at(self, block: int) -> int | None:
        """Returns when a cached block became that, in uses; None for one that is not cached."""
        return self._used_at.get(block)

    def held(self) -> dict[str, int]:
        """Returns how many blocks each holder has, by name, used and cached ones. Pinned ones are nobody's."""
        return {name: count for name, count in self._held.items() if count}

    def quotas(self) -> dict[str, int]:
        """Returns how many blocks are whose, by the name of the key."""
        return {name: account.quota for name, account in self._accounts.items() if name}

    # ---- what happens to blocks ----

    def use(self, block: int, who: str) -> None:
        """Takes in that somebody uses a block: it is charged to him from now on, and may not go."""
        self._take_out(block)
        before = self._user.get(block)
        if before == who:
            return
        self._charge(block, -1)
        self._user[block] = who
        self._charge(block, 1)
        mine, known = self._account(who), () if before is None else (before, *self._others.get(block, ()))
        others = {id(account): name for name in known if (account := self._account(name)) is not mine}
        if others:
            self._others[block] = tuple(others.values())
        else:
            self._others.pop(block, None)

    def cache(self, block: int) -> None:
        """Takes in that nobody holds a used block any more, which can be found."""
        self.uses += 1
        self._used_at[block] = self.uses
        if block in self._pins:
            self._idle_pins += 1
        else:
            self._account_of(block).order[block] = None

    def forget(self, block: int) -> None:
        """Takes in that a block holds nothing any more; pins of it end."""
        self._take_out(block)
        self._charge(block, -1)
        self._user.pop(block, None)
        self._others.pop(block, None)
        if self._pins.pop(block, None) is not None:
            self._set_quotas()

    def drop_pins(self, block: int) -> None:
        """Ends all pins of a used block."""
        if self._pins.pop(block, None) is not None:
            self._charge(block, 1)
            self._set_quotas()

    def hand_over(self, block: int, target: int) -> None:
        """Takes in that what a used block holds is held by another one from now on, and charged to whom that was, also where somebody else
        who holds it has had it moved.
        """
        self._charge(target, -1)
        self._user[target] = self._user[block]
        self._charge(target, 1)
        if block in self._others:
            self._others[target] = self._others.pop(block)

    def move(self, moved: Mapping[int, int]) -> None:
        """Takes in that cached blocks are others from now on, with all there is to know of them."""
        self._used_at, self._user = _renamed(self._used_at, moved), _renamed(self._user, moved)
        self._others, self._pins = _renamed(self._others, moved), _renamed(self._pins, moved)
        for account in self._accounts.values():
            account.order = _renamed(account.order, moved)

    def pin(self, block: int) -> None:
        """Makes a block stay, used or cached, until it is unpinned as often."""
        if block not in self._pins:
            self._charge(block, -1)
            self._idle_pins += self._account_of(block).order.pop(block, block) is None
        self._pins[block] = self._pins.get(block, 0) + 1
        self._set_quotas()

    def unpin(self, block: int) -> None:
        """Ends one pin of a block; with the last one, it may go as any other, and is the last to. Does nothing where it is not pinned."""
        left = self._pins.pop(block, 1) - 1 if block in self._pins else None
        if left:
            self._pins[block] = left
        elif left == 0:
            self._charge(block, 1)
            if self._used_at.pop(block, None) is not None:
                self._idle_pins -= 1
                self.cache(block)
        self._set_quotas()

    # ---- who has what ----

    def resize(self, capacity: int) -> None:
        """Changes how many blocks there may be, and quotas with it."""
        self._capacity = capacity
        self._set_quotas()

    def share(self, shares: Mapping[str, float]) -> None:
        """Gives these holders so much of the pool, as fractions, for their own. It costs O(pool), and is not for every step."""
        if shares == self._shares:
            return
        self._shares = dict(shares)
        self._accounts = {name: _Account() for name in (_NOBODY, *self._shares)}
        for block in self._user:
            if block not in self._pins:
                self._account_of(block).charged += 1
        for block in self._used_at:
            if block not in self._pins:
                self._account_of(block).order[block] = None
        self._others = {block: names for block, names in self._others.items() if self._shares}
        self._set_quotas()

    def turn(self, who: str, blocks: int) -> Turn:
        """Returns whose blocks go next, for ``who`` to take so many. There must be one that may go."""
        while True:
            turn = self._next(who, blocks)
            head = next(iter(turn))
            if head not in self._others:
                return turn
            self._pass_on(head)

    def oldest(self) -> int:
        """Returns the least recently used block that may go, whoever's it is. There must be one."""
        return next(iter(self._oldest().order))

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless each cached block is where it goes from, or pinned, and all are charged to who used them."""
        ordered = [block for account in self._accounts.values() for block in account.order]
        assert sorted(ordered) == sorted(block for block in self._used_at if block not in self._pins), "a cached block is lost, or pinned"
        assert all(list(one.order) == sorted(one.order, key=self._used_at.__getitem__) for one in self._accounts.values()), "out of order"
        assert self.evictable == len(ordered), "blocks that may go are counted wrongly"
        charged = Counter(id(self._account_of(block)) for block in self._user if block not in self._pins)
        assert all(one.charged == charged[id(one)] for one in self._accounts.values()), "an account is wrong"
        assert self.held() == Counter(who for block, who in self._user.items() if block not in self._pins), "holders are counted wrongly"
        assert set(self._used_at) | set(self._others) | set(self._pins) <= set(self._user), "a block has no user"
        assert sum(one.quota for one in self._accounts.values()) <= max(0, self._capacity - self.pinned), "more is promised than there is"

    # ---- private ----

    def _next(self, who: str, blocks: int) -> Turn:
        """Returns the turn of the account that has most beyond its quota, once ``who`` has so many blocks more; where none of those that
        have cached blocks has more, that of the least recently used one.
        """
        mine = self._account(who)
        having = [account for account in self._accounts.values() if account.order]
        if len(self._accounts) == 1:
            return Turn(self, having[0], blocks, is_due=True)
        beyond, account = max(
            ((one.charged + (blocks if one is mine else 0) - one.quota, one) for one in having), key=lambda found: found[0]
        )
        return Turn(self, account, min(blocks, beyond), is_due=True) if beyond > 0 else Turn(self, self._oldest(), 1, is_due=False)

    def _oldest(self) -> _Account:
        having = [account for account in self._accounts.values() if account.order]
        return min(having, key=lambda one: self._used_at[next(iter(one.order))])

    def _pass_on(self, block: int) -> None:
        """Gives a cached block back to who used it before its last user."""
        who, *others = self._others.pop(block)
        self._take_out(block)
        self._charge(block, -1)
        self._user[block] = who
        self._charge(block, 1)
        if others:
            self._others[block] = tuple(others)
        self.cache(block)

    def _take_out(self, block: int) -> None:
        if self._used_at.pop(block, None) is not None:
            self._account_of(block).order.pop(block, None)
            self._idle_pins -= block in self._pins

    def _charge(self, block: int, blocks: int) -> None:
        """Charges a block to who used it last, or takes that back. A pinned one, and one that nobody has used, are charged to nobody."""
        if block in self._user and block not in self._pins:
            self._account_of(block).charged += blocks
            self._held[self._user[block]] += blocks

    def _account(self, who: str) -> _Account:
        return self._accounts.get(who) or self._accounts[_NOBODY]

    def _account_of(self, block: int) -> _Account:
        return self._account(self._user.get(block, _NOBODY))

    def _set_quotas(self) -> None:
        """Divides what is not pinned. Where more is promised than there is, each has less in proportion."""
        room, scale = max(0, self._capacity - len(self._pins)), max(1.0, sum(self._shares.values()))
        for name, share in self._shares.items():
            self._accounts[name].quota = int(room * share / scale)
        self._accounts[_NOBODY].quota = room - sum(self._accounts[name].quota for name in self._shares)


def _renamed(known: dict[int, T], moved: Mapping[int, int]) -> dict[int, T]:
    return {moved.get(block, block): value for block, value in known.items()}
