"""A cache on disk without a disk: a dictionary, and reads that are done when the test says so."""

from collections import Counter
from concurrent.futures import Future

from typing_extensions import override

from mlxd.disk_cache.tier import DiskTier, Spilled
from mlxd.disk_terms import DiskDrop, DiskFigures, DiskState


class MemoryTier(DiskTier):
    """Holds what is written at once. With ``held`` reads wait for ``let_go``; ``fail`` makes it unusable, ``lose`` takes blocks away behind
    the back of ``known``.
    """

    def __init__(self, *, room=2**30, held=False):
        self.blocks = {}  # digest -> Spilled, least recently used first
        self.reads = []  # the digests of each read
        self.closed = False
        self._room = room
        self._held = held
        self._waiting = []
        self._lost = set()
        self._reason = ""
        self._counts = Counter()
        self._dropped = Counter()

    @override
    def known(self, digests):
        if self._reason:
            return 0
        return next((index for index, digest in enumerate(digests) if digest not in self.blocks), len(digests))

    @override
    def room(self):
        return 0 if self._reason else self._room

    @override
    def write(self, blocks):
        taken = 0
        for block in blocks:
            if self._reason or (block.digest not in self.blocks and block.size > self._room):
                self._dropped[DiskDrop.STATE if self._reason else DiskDrop.QUEUE] += len(blocks) - taken
                break
            if block.digest not in self.blocks:
                copy = tuple(memoryview(bytes(part)) for part in block.payload)
                self.blocks[block.digest] = Spilled(
                    digest=block.digest, parent=block.parent, tokens=block.tokens, extra=block.extra, payload=copy
                )
                self._room -= block.size
                self._counts.update(written_blocks=1, written_bytes=block.size)
            taken += 1
        return taken

    @override
    def read(self, digests):
        future = Future()
        self.reads.append(tuple(digests))
        self._waiting.append((future, tuple(digests)))
        if not self._held:
            self.let_go()
        return future

    def let_go(self):
        """Every read that waits is done."""
        waiting, self._waiting = self._waiting, []
        for future, digests in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(self._found(digests))

    def _found(self, digests):
        found = []
        for digest in digests[: self.known(digests)]:
            if digest in self._lost:
                del self.blocks[digest]
                break
            found.append(self.blocks[digest])
            self._counts.update(read_blocks=1, read_bytes=self.blocks[digest].size)
        self._counts.update(missed_blocks=len(digests) - len(found))
        return tuple(found)

    def lose(self, *digests):
        """What was stored cannot be read: it is noticed when somebody tries."""
        self._lost.update(digests)

    def fail(self, reason):
        """It cannot be used from now on, until ``reconfigure``."""
        self._reason = reason

    @override
    def touch(self, digests):
        for digest in reversed(digests):
            if digest in self.blocks:
                self.blocks[digest] = self.blocks.pop(digest)

    @override
    def reconfigure(self, settings):
        self._reason = "" if settings is not None else "it is not configured"

    @override
    def figures(self):
        return DiskFigures(
            state=DiskState.OFF if self._reason else DiskState.ON,
            reason=self._reason,
            blocks=len(self.blocks),
            bytes=sum(block.size for block in self.blocks.values()),
            dropped_blocks=dict(self._dropped),
            **self._counts,
        )

    @override
    def wait_until_open(self, seconds):
        return True

    @override
    def settle(self, seconds):
        return True

    @override
    def close(self):
        self.closed = True
        self.let_go()
