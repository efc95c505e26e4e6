"""A part of a tier for one group of layers: blocks of the same tokens, which have other keys and values there."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from typing_extensions import override

from mlxd.disk_cache.tier import DiskTier, Spilled
from mlxd.disk_terms import DiskFigures, DiskSettings
from mlxd.worker.kv.block_chain import DIGEST_BYTES


class GroupTier(DiskTier):
    """The blocks of ``group``, under names of their own in ``tier``; whoever uses it calls them as they are called in the chain. The tier
    itself is somebody else's: to reconfigure or to close this one does nothing.
    """

    def __init__(self, tier: DiskTier, group: int) -> None:
        self._tier = tier
        self._person = b"group %d" % group

    @override
    def wait_until_open(self, seconds: float) -> bool:
        return self._tier.wait_until_open(seconds)

    @override
    def known(self, digests: Sequence[bytes]) -> int:
        return self._tier.known(self._names(digests))

    @override
    def room(self) -> int:
        return self._tier.room()

    @override
    def write(self, blocks: Sequence[Spilled]) -> int:
        return self._tier.write([replace(block, digest=self._name(block.digest)) for block in blocks])

    @override
    def read(self, digests: Sequence[bytes]) -> Future[tuple[Spilled, ...]]:
        called = dict(zip(self._names(digests), digests, strict=True))
        read, found = self._tier.read(list(called)), Future[tuple[Spilled, ...]]()

        def hand_on(done: Future[tuple[Spilled, ...]]) -> None:
            blocks = () if done.cancelled() else done.result()
            if found.set_running_or_notify_cancel():
                found.set_result(tuple(replace(block, digest=called[block.digest]) for block in blocks))

        read.add_done_callback(hand_on)
        found.add_done_callback(lambda one: read.cancel() if one.cancelled() else None)
        return found

    @override
    def touch(self, digests: Sequence[bytes]) -> None:
        self._tier.touch(self._names(digests))

    @override
    def reconfigure(self, settings: DiskSettings | None) -> None:
        return

    @override
    def figures(self) -> DiskFigures:
        return self._tier.figures()

    @override
    def settle(self, seconds: float) -> bool:
        return self._tier.settle(seconds)

    @override
    def close(self) -> None:
        return

    def _names(self, digests: Sequence[bytes]) -> list[bytes]:
        return [self._name(digest) for digest in digests]

    def _name(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, digest_size=DIGEST_BYTES, person=self._person).digest()
