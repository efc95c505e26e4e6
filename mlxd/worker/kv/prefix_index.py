"""The way from the name of a block to the block that holds its keys and values.

A name is a hash, so it only finds a candidate: tokens, extra keys and the parent are compared, and a collision can never hand out another
prompt's cache.
"""

from collections.abc import Iterable

from mlxd.worker.kv.block_chain import BlockChain, BlockKey
from mlxd.worker.kv.transfers import Spill


class PrefixIndex:
    """The registered blocks by digest. Each block has at most one entry, each digest at most one block."""

    def __init__(self) -> None:
        self._block: dict[bytes, int] = {}
        self._key: dict[int, tuple[bytes, BlockKey]] = {}

    def __len__(self) -> int:
        return len(self._block)

    def match(self, chain: BlockChain, limit: int) -> list[int]:
        """Returns the known blocks of the first ``limit`` of ``chain``, from its beginning up to the first unknown one."""
        found: list[int] = []
        for digest, key in zip(chain.digests[:limit], chain.keys, strict=False):
            block = self._block.get(digest)
            if block is None or self._key[block][1] != key:
                break
            found.append(block)
        return found

    def find(self, digest: bytes, key: BlockKey) -> int | None:
        """Returns the block that is known by a name; None where there is none, or it is another one's."""
        block = self._block.get(digest)
        return None if block is None or self._key[block][1] != key else block

    def block_of(self, digest: bytes) -> int | None:
        """Returns the block that has this name, whoever's it is."""
        return self._block.get(digest)

    def register(self, digest: bytes, key: BlockKey, block: int) -> int:
        """Remembers that ``block`` holds ``key``. The first block with a digest keeps it; returns the one that is known. Raises
        ``ValueError`` when the block holds another key already.
        """
        if block in self._key and self._key[block][1] != key:
            raise ValueError(f"block {block} is registered with other tokens")
        known = self._block.setdefault(digest, block)
        if known == block:
            self._key[block] = (digest, key)
        return known

    def move(self, block: int, target: int) -> bytes:
        """Notes that what ``block`` holds is held by ``target`` from now on. Returns the digest that it is known by."""
        digest, key = self._key.pop(block)
        self._block[digest] = target
        self._key[target] = (digest, key)
        return digest

    def forget(self, block: int) -> Spill:
        """Forgets a block, and returns what it was known by. Its children stay until they are evicted, but cannot be reached through it."""
        digest, key = self._key.pop(block)
        del self._block[digest]
        return Spill(block, digest, key)

    def names(self, blocks: Iterable[int]) -> set[bytes]:
        """Returns the digests of those of ``blocks`` that are known."""
        return {self._key[block][0] for block in blocks if block in self._key}

    def named(self, digests: Iterable[bytes]) -> set[int]:
        """Returns the blocks that are known by one of ``digests``."""
        return {self._block[digest] for digest in digests if digest in self._block}

    def with_descendants(self, digests: Iterable[bytes]) -> set[bytes]:
        """Returns ``digests``, and those of all known blocks that lie behind one of them in a chain. It costs O(index)."""
        children: dict[bytes, list[bytes]] = {}
        for digest, key in self._key.values():
            children.setdefault(key.parent, []).append(digest)
        found, unseen = set(digests), list(digests)
        while unseen:
            behind = set(children.get(unseen.pop(), [])) - found
            found |= behind
            unseen += behind
        return found

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless both directions agree."""
        assert {block: digest for digest, block in self._block.items()} == {block: digest for block, (digest, _) in self._key.items()}
        assert all(key.digest() == digest for digest, key in self._key.values())
