"""What of the cache is to be written to disk, and in which order.

Two things send a block there: its request is over, so that others find it even after a restart, or it is evicted. The first is done ahead,
when it costs nobody anything; then the second has nothing left to do. (LMCache and vLLM's offloading connectors store ahead, too.)
"""

from collections.abc import Callable, Iterable
from itertools import islice

from mlxd.disk_cache.tier import DiskTier
from mlxd.worker.kv.block_chain import BlockChain, BlockKey
from mlxd.worker.kv.transfers import Spill

Find = Callable[[bytes, BlockKey], int | None]

_REMEMBERED = 4096  # blocks handed over of which the tier does not say yet that it has them


class Spilling:
    """The blocks that are to go to ``tier``, whose payload has ``block_bytes`` each."""

    def __init__(self, tier: DiskTier, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.lost = 0  # evicted blocks that were not written for want of time or room, since start
        self._tier = tier
        self._wanted: dict[bytes, BlockKey] = {}  # of requests that are over; those of a chain in its order
        self._leaving: list[Spill] = []  # evicted since the last step: their content is there until the next one
        self._handed: dict[bytes, None] = {}  # those handed over last, since nothing waited to be written
        self._held_back: set[bytes] = set()  # what they are is computed, written or moved where they are by the step that is being planned

    @property
    def leaving(self) -> int:
        """Returns how many evicted blocks are lost unless they are written now."""
        return len(self._leaving)

    @property
    def wanted(self) -> int:
        """Returns how many others are to be written."""
        return len(self._wanted)

    def finish(self, chain: BlockChain, blocks: int, since: int = 0) -> None:
        """Takes in that nobody computes the first ``blocks`` of ``chain`` any more. Those from ``since`` on are to be written, as far
        as they are findable.
        """
        digests = chain.digests[since:blocks]
        stored = self._tier.known(digests)
        self._tier.touch(digests[:stored])
        for digest in digests[:stored]:
            self._handed.pop(digest, None)
        for digest, key in zip(digests[stored:], chain.keys[since + stored : blocks], strict=True):
            if digest not in self._handed:
                self._wanted.setdefault(digest, key)

    def leave(self, spill: Spill) -> None:
        """Takes in that a block is evicted."""
        self._wanted.pop(spill.digest, None)
        if spill.digest not in self._held_back and not self._is_stored(spill.digest):
            self._leaving.append(spill)

    def hold_back(self, digests: Iterable[bytes]) -> None:
        """Takes in that blocks get their content by the step that is being planned: before that there is nothing to write."""
        self._held_back.update(digests)

    def forget(self, digests: Iterable[bytes]) -> None:
        """Takes in that what these blocks hold is of no use."""
        for digest in digests:
            self._wanted.pop(digest, None)

    def take(self, most: int, find: Find) -> tuple[Spill, ...]:
        """Returns up to ``most`` of those that are to be written, as far as there is room for them: first those that are evicted, which are
        lost otherwise. ``find`` returns where a block is that is known by a name, if it still is.
        """
        most = min(most, self._tier.room() // self.block_bytes) if self._leaving or self._wanted else 0
        self._forget_handed()
        taken = self._leaving[max(0, len(self._leaving) - most) :]  # the ones used last, and of a chain its head
        self.lost += len(self._leaving) - len(taken)
        self._leaving = []
        taken += self._found(find, most - len(taken))
        self._remember(taken)
        self._held_back.clear()
        return tuple(taken)

    def reset(self) -> None:
        """Forgets everything: what the cache holds cannot be trusted."""
        self._wanted, self._leaving = {}, []
        self._held_back.clear()

    def _found(self, find: Find, most: int) -> list[Spill]:
        """Returns up to ``most`` of those that are wanted, and wanted no more then. Those behind them are not looked at: there may be many,
        at each step.
        """
        found, looked_at = list[Spill](), list[bytes]()
        for digest, key in self._wanted.items():
            if len(found) >= most:
                break
            if digest in self._held_back:
                continue
            looked_at.append(digest)
            block = None if self._is_stored(digest) else find(digest, key)
            if block is not None:
                found.append(Spill(block, digest, key))
        for digest in looked_at:
            del self._wanted[digest]
        return found

    def _is_stored(self, digest: bytes) -> bool:
        return digest in self._handed or self._tier.known([digest]) == 1

    def _forget_handed(self) -> None:
        """Once nothing waits to be written any more, the tier has what it took, and says so; of the rest it has nothing."""
        if self._handed and self._tier.settle(0.0):
            self._handed.clear()

    def _remember(self, spills: Iterable[Spill]) -> None:
        self._handed.update((spill.digest, None) for spill in spills)
        for digest in list(islice(self._handed, max(0, len(self._handed) - _REMEMBERED))):
            del self._handed[digest]
