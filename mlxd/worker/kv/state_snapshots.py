"""Copies of recurrent state at block boundaries, as bookkeeping: which block has one, and which are dropped.

Attention can begin anywhere in a cached prefix; a recurrent layer (convolution, SSM, linear attention) only where its state was
copied. A snapshot belongs to the block at whose end it was taken, and goes with it. All of a model's snapshots are of equal size.
"""

from collections import OrderedDict


class StateSnapshots:
    """At most ``capacity`` snapshots, the least recently used dropped first. The runtime holds the tensors under the ids given
    here, and learns from ``take_dropped`` which it may let go.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = 0
        self.reset()

    def reset(self) -> None:
        """Forget all of them, as the runtime has."""
        self._of_block: OrderedDict[int, int] = OrderedDict()  # block -> snapshot, least recently used first
        self._pending: set[int] = set()  # being made; no block has them yet
        self._dropped: list[int] = []

    def __len__(self) -> int:
        return len(self._of_block) + len(self._pending)

    def make(self) -> int:
        """A new id, for a snapshot the next step will take."""
        self._next += 1
        self._pending.add(self._next)
        return self._next

    def attach(self, snapshot: int, block: int) -> None:
        """It was taken at the end of ``block``. A block that has one already keeps it: they are equal."""
        self._pending.remove(snapshot)
        if block in self._of_block:
            self._dropped.append(snapshot)
        else:
            self._of_block[block] = snapshot
        self._of_block.move_to_end(block)
        self._shrink()

    def discard(self, snapshot: int) -> None:
        """It will be attached to no block."""
        self._pending.remove(snapshot)
        self._dropped.append(snapshot)

    def deepest(self, blocks: list[int]) -> int:
        """How many of ``blocks``, a chain from its head, end where a snapshot is: a sequence may begin after these."""
        return next((count for count in range(len(blocks), 0, -1) if blocks[count - 1] in self._of_block), 0)

    def of(self, block: int) -> int | None:
        """Returns the snapshot at the end of ``block``, if it has one."""
        return self._of_block.get(block)

    def use(self, block: int) -> int:
        """The snapshot at the end of ``block``, which must have one; it is the most recently used now."""
        self._of_block.move_to_end(block)
        return self._of_block[block]

    def drop(self, block: int) -> None:
        """The block is evicted, or its snapshot of no more use; nothing if it has none."""
        snapshot = self._of_block.pop(block, None)
        if snapshot is not None:
            self._dropped.append(snapshot)

    def move(self, block: int, target: int) -> None:
        """What ``block`` holds is held by ``target`` from now on. Only the order of use forgets."""
        snapshot = self._of_block.pop(block, None)
        if snapshot is not None:
            self._of_block[target] = snapshot

    def resize(self, capacity: int) -> None:
        """Change the limit; takes effect at once."""
        self._capacity = capacity
        self._shrink()

    def take_dropped(self) -> tuple[int, ...]:
        """Those dropped since the last call."""
        dropped, self._dropped = tuple(self._dropped), []
        return dropped

    def _shrink(self) -> None:
        while len(self._of_block) > self._capacity:
            _, snapshot = self._of_block.popitem(last=False)
            self._dropped.append(snapshot)
