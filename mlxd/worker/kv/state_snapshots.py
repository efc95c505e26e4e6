"""Copies of recurrent state at block boundaries, as bookkeeping: which block has one, and which are dropped.

Attention can begin anywhere in a cached prefix; a recurrent layer (convolution, SSM, linear attention) only where its state was
copied. A snapshot belongs to the block at whose end it was taken, and goes with it. All of a model's snapshots are of equal size.
"""

import enum
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping


class Taken(enum.Enum):
    """When a snapshot was taken: where a prompt ends or others go on otherwise, while an answer was computed, or in passing, on the way
    through a prompt.
    """

    PROMPT = enum.auto()
    ANSWER = enum.auto()
    PASSING = enum.auto()


_SPARED = 8  # of so many one is an answer's, for the next turn, and one was taken in passing, for a prompt that is interrupted


class StateSnapshots:
    """A set of at most ``capacity`` snapshots. Those taken in passing are dropped first, then those of answers, but for a few of these,
    and of each kind the least recently used first. One that is used belongs to a prompt from then on. The runtime holds the tensors under
    the ids given here, and learns from ``take_dropped`` which it may let go.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._shares: dict[str, float] = {}
        self._user_of: Callable[[int], str] = lambda _: ""
        self._next = 0
        self.reset()

    def reset(self) -> None:
        """Forgets all of them, as the runtime has."""
        self._of_block: dict[int, int] = {}  # block -> snapshot
        self._order: dict[Taken, OrderedDict[int, None]] = {taken: OrderedDict() for taken in Taken}  # blocks, least recently used first
        self._pins: dict[int, int] = {}  # blocks whose snapshot stays -> how often it is pinned
        self._pending: set[int] = set()  # being made; no block has them yet
        self._dropped: list[int] = []

    def __len__(self) -> int:
        return len(self._of_block) + len(self._pending)

    def make(self) -> int:
        """Returns a new id, for a snapshot the next step will take."""
        self._next += 1
        self._pending.add(self._next)
        return self._next

    def attach(self, snapshot: int, block: int, taken: Taken = Taken.PROMPT) -> None:
        """Gives the snapshot to ``block``, at whose end it was taken. A block that has one already keeps it: they are equal."""
        self._pending.remove(snapshot)
        if block in self._of_block:
            self._dropped.append(snapshot)
        else:
            self._of_block[block] = snapshot
        self._rank(block, min(taken, self._unrank(block, taken), key=list(Taken).index))
        self._shrink()

    def discard(self, snapshot: int) -> None:
        """Drops a snapshot that will be attached to no block."""
        self._pending.remove(snapshot)
        self._dropped.append(snapshot)

    def deepest(self, blocks: list[int]) -> int:
        """Returns how many of ``blocks``, a chain from its head, end where a snapshot is: a sequence may begin after these."""
        return next((count for count in range(len(blocks), 0, -1) if blocks[count - 1] in self._of_block), 0)

    def of(self, block: int) -> int | None:
        """Returns the snapshot at the end of ``block``, if it has one."""
        return self._of_block.get(block)

    def use(self, block: int) -> int:
        """Returns the snapshot at the end of ``block``, which must have one; it is the most recently used now."""
        self._rank(block, Taken.PROMPT)
        return self._of_block[block]

    def outlive(self, block: int) -> None:
        """Drops the snapshot of a block behind which another one is of more use, unless it is pinned."""
        if block not in self._pins:
            self.drop(block)

    def drop(self, block: int) -> None:
        """Drops the snapshot of a block that is evicted, with its pins; does nothing if it has none."""
        if block in self._of_block:
            self._dropped.append(self._of_block.pop(block))
            self._unrank(block, Taken.PROMPT)
            self._pins.pop(block, None)

    def pin(self, block: int) -> None:
        """Makes the snapshot of a block, which must have one, stay until it is unpinned as often, however many there are."""
        self._unrank(block, Taken.PROMPT)
        self._pins[block] = self._pins.get(block, 0) + 1

    def unpin(self, block: int) -> None:
        """Ends one pin of a block's snapshot; does nothing where it is not pinned."""
        if block not in self._pins:
            return
        self._pins[block] -= 1
        if not self._pins[block]:
            del self._pins[block]
            self._rank(block, Taken.PROMPT)
            self._shrink()

    def move(self, block: int, target: int) -> None:
        """Notes that what ``block`` holds is held by ``target`` from now on. Only the order of use forgets."""
        if block in self._of_block:
            self._of_block[target] = self._of_block.pop(block)
            if block in self._pins:
                self._pins[target] = self._pins.pop(block)
            self._rank(target, self._unrank(block, Taken.PROMPT))

    def resize(self, capacity: int) -> None:
        """Changes the limit, which takes effect at once."""
        self._capacity = capacity
        self._shrink()

    def share(self, shares: Mapping[str, float], user_of: Callable[[int], str]) -> None:
        """Makes these parts of them somebody's own, by the names of keys; ``user_of`` tells who used a block last. Of whoever has more than
        that, one is dropped before those of others.
        """
        self._shares, self._user_of = dict(shares), user_of

    def take_dropped(self) -> tuple[int, ...]:
        """Returns those dropped since the last call."""
        dropped, self._dropped = tuple(self._dropped), []
        return dropped

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless every snapshot has its place in the order, and no more than there may be."""
        ranked = [block for order in self._order.values() for block in order]
        assert sorted([*ranked, *self._pins]) == sorted(self._of_block), "the order of snapshots is not that of those there are"
        assert not ranked or len(self._of_block) <= self._capacity, "there are too many snapshots"

    def _rank(self, block: int, taken: Taken) -> None:
        """Makes it the most recently used of its kind, unless it stays anyway."""
        self._unrank(block, taken)
        if block not in self._pins:
            self._order[taken][block] = None

    def _unrank(self, block: int, otherwise: Taken) -> Taken:
        """Takes it out of the order, and returns when it was taken, or ``otherwise`` where it has no place."""
        taken = next((taken for taken, order in self._order.items() if block in order), otherwise)
        self._order[taken].pop(block, None)
        return taken

    def _shrink(self) -> None:
        while len(self._of_block) > max(self._capacity, len(self._pins)):
            self.drop(self._next_to_go())

    def _next_to_go(self) -> int:
        least = self._least()
        if not self._shares:
            return next(iter(least))
        held = Counter(map(self._account_of, self._of_block))
        scale = max(1.0, sum(self._shares.values()))
        own = {name: int(self._capacity * share / scale) for name, share in self._shares.items()}
        own[""] = self._capacity - sum(own.values())
        beyond = {name for name, count in held.items() if count > own[name]}
        kinds = (least, *self._order.values())
        return next((block for kind in kinds for block in kind if self._account_of(block) in beyond), next(iter(least)))

    def _account_of(self, block: int) -> str:
        who = self._user_of(block)
        return who if who in self._shares else ""

    def _least(self) -> OrderedDict[int, None]:
        """Returns the kind that is to lose one."""
        passing, answers, prompts = (self._order[kind] for kind in (Taken.PASSING, Taken.ANSWER, Taken.PROMPT))
        spared = self._capacity // _SPARED
        if len(passing) > spared:
            return passing
        return answers if len(answers) > spared else prompts or answers or passing
