"""What of a cache goes to disk, and what of it comes from there."""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic

import msgspec

from mlxd.disk_cache.tier import DiskTier
from mlxd.disk_terms import DiskFigures, DiskSettings
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.block_pool import BlockPool
from mlxd.worker.kv.prefix_index import PrefixIndex
from mlxd.worker.kv.recall import Recall, Recalled
from mlxd.worker.kv.spilling import Find, Spilling
from mlxd.worker.kv.transfers import Fetch, Spill


class NoDisk:
    """What there is to say of a cache without a disk: why there is none, where one is wanted."""

    def __init__(self, reason: str = "", *, is_wanted: bool = False) -> None:
        self._reason = reason
        self._is_wanted = is_wanted

    def reconfigure(self, settings: DiskSettings | None) -> None:
        """Takes in whether one is wanted."""
        self._is_wanted = settings is not None

    def figures(self) -> DiskFigures | None:
        """Returns figures that say why there is none; None where none is wanted."""
        return DiskFigures(reason=self._reason) if self._is_wanted else None

    def wait_until_open(self, seconds: float) -> bool:  # noqa: ARG002 - as ``DiskSide`` has it
        """Returns True at once: there is nothing to wait for."""
        return True

    def close(self, seconds: float) -> None:
        """Returns at once: there is nothing to wait for."""


Allocate = Callable[[int, int | None, str], list[range] | None]


class DiskSide:
    """The disk as the manager of blocks sees it. A block's payload has ``block_bytes``; ``clock`` returns seconds. While it is not wanted,
    nothing goes there. ``group`` is the group of layers whose blocks these are; those of the other groups go ``beside`` them.
    """

    def __init__(  # noqa: PLR0913 - whose disk it is, and of what
        self,
        tier: DiskTier,
        block_bytes: int,
        clock: Callable[[], float] = monotonic,
        *,
        is_wanted: bool = True,
        group: int = 0,
        beside: Sequence["DiskSide"] = (),
    ) -> None:
        self.group = group
        self.beside = tuple(beside)
        self.tier = tier
        self._is_wanted = is_wanted
        self.block_bytes = block_bytes
        self.spilling = Spilling(tier, block_bytes)
        self.recall = Recall(tier, block_bytes, clock)
        self._hit_tokens = 0  # since start
        self._unused: set[bytes] = set()  # blocks that came from disk, with which nobody has begun yet

    def evicted(self, spill: Spill) -> None:
        """Takes in that a block leaves memory."""
        self._unused.discard(spill.digest)
        if self._is_wanted:
            self.spilling.leave(spill)

    def closed(self, chain: BlockChain, blocks: int, since: int = 0) -> None:
        """Takes in that a sequence is over whose first ``blocks`` can be found, but for those before ``since``."""
        if self._is_wanted:
            self.spilling.finish(chain, blocks, since)

    def reconfigure(self, settings: DiskSettings | None) -> None:
        """Takes other settings over; None switches it off."""
        self._is_wanted = settings is not None
        if settings is None:
            self.spilling.reset()
        self.tier.reconfigure(settings)
        for side in self.beside:
            side.reconfigure(settings)

    def planned(self, digests: Iterable[bytes]) -> None:
        """Takes in that these blocks get their content by the step that is being planned, or do so where they are now: what goes to disk in
        that step is copied before.
        """
        self.spilling.hold_back(digests)

    def distrusted(self, digests: Sequence[bytes]) -> None:
        """Takes in that these blocks hold what is no number."""
        self._unused.difference_update(digests)
        self.spilling.forget(digests)

    def restore(self, recalled: Recalled, pool: BlockPool, index: PrefixIndex, allocate: Allocate) -> Fetch | None:
        """Makes room in ``pool`` for blocks that came from disk, which are found by ``index`` from now on. What was computed in the
        meantime is not written again. Returns where the others are to be written; None where there is no room now, or nothing to write.
        """
        named = list(zip(recalled.digests, recalled.keys, recalled.payloads, strict=True))
        lacked = [(digest, key, payload) for digest, key, payload in named if index.find(digest, key) is None]
        ranges = allocate(len(lacked), index.block_of(lacked[0][1].parent), recalled.who) if lacked else None
        if ranges is None:
            return None
        blocks = [block for run in ranges for block in run]
        written: list[tuple[int, tuple[memoryview, ...]]] = []
        for block, (digest, key, payload) in zip(blocks, lacked, strict=True):
            if index.register(digest, key, block) == block:  # else another one's has this very name
                pool.make_findable(block)
                written.append((block, payload))
                self._unused.add(digest)
        self.planned(recalled.digests)
        for block in reversed(blocks):
            pool.release(block)
        return Fetch(tuple(block for block, _ in written), tuple(payload for _, payload in written), self.group)

    def take(self, size: int, find: Find) -> tuple[Spill, ...]:
        """Returns blocks of up to ``size`` bytes that are to be written, as ``Spilling`` has it."""
        return tuple(msgspec.structs.replace(spill, group=self.group) for spill in self.spilling.take(size // self.block_bytes, find))

    def renew(self, blocks: Sequence[int], pool: BlockPool, who: str) -> None:
        """Makes the blocks that a sequence of ``who`` begins with the last to be evicted: it comes back for them when it has the rest."""
        for block in reversed(blocks):
            pool.retain(block, who)
            pool.release(block)

    def use(self, digests: Sequence[bytes], block_size: int) -> int:
        """Returns how many tokens of the blocks that a sequence begins with came from disk for it: they are in memory from now on."""
        found = self._unused.intersection(digests)
        self._unused -= found
        tokens = len(found) * block_size
        self._hit_tokens += tokens
        return tokens

    def figures(self) -> DiskFigures:
        """Returns what is on disk, and what became of it."""
        return msgspec.structs.replace(self.tier.figures(), hit_tokens=self._hit_tokens, lost_blocks=self.spilling.lost)

    def wait_until_open(self, seconds: float) -> bool:
        """Waits until it is known what is on disk, for so long at most, and returns whether it is."""
        return self.tier.wait_until_open(seconds)

    def close(self, seconds: float) -> None:
        """Ends it, once what was handed over is written, or after so many seconds."""
        self.tier.settle(max(0.0, seconds))
        self.tier.close()

    def reset(self) -> None:
        """Forgets everything: what the cache holds cannot be trusted."""
        self.spilling.reset()
        self.recall.reset()
        self._unused.clear()
