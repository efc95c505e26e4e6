"""From the tokens of a block, and of all before it, to the block that holds their keys and values.

The hash of a block covers its parent's hash (vLLM's prefix caching does the same), so equal tokens at another
position or after another beginning are another entry. A hash only finds a candidate: tokens, extra keys and the
parent are compared, so that a collision can never hand out another prompt's cache.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

DIGEST_BYTES = 16


@dataclass(frozen=True)
class BlockKey:
    """What a full block holds: its tokens, and extra keys such as the content hash of an image whose placeholder
    tokens lie in it. ``parent`` is the digest of the block before; the root's is the model's identity.
    """

    parent: bytes
    tokens: tuple[int, ...]
    extra: tuple[bytes, ...] = ()

    def digest(self) -> bytes:
        """``blake2b(parent, tokens, extra)``; every part is length-prefixed."""
        state = hashlib.blake2b(self.parent, digest_size=DIGEST_BYTES)
        state.update(struct.pack(f"<I{len(self.tokens)}q", len(self.tokens), *self.tokens))
        for part in self.extra:
            state.update(struct.pack("<I", len(part)) + part)
        return state.digest()


def root_digest(identity: str, salt: str = "") -> bytes:
    """The parent of every first block: the model's source and revision, adapter, KV type, and a tenant's salt."""
    return hashlib.blake2b(f"{identity}\0{salt}".encode(), digest_size=DIGEST_BYTES).digest()


@dataclass(frozen=True)
class Match:
    """The longest known beginning: its blocks in order, and the digest of the last (the root's when none)."""

    blocks: tuple[int, ...]
    digest: bytes


class PrefixIndex:
    """Registered blocks by digest. Each block has at most one entry, each digest at most one block."""

    def __init__(self) -> None:
        self._block: dict[bytes, int] = {}
        self._key: dict[int, tuple[bytes, BlockKey]] = {}

    def __len__(self) -> int:
        return len(self._block)

    def match(self, root: bytes, keys: Sequence[tuple[tuple[int, ...], tuple[bytes, ...]]]) -> Match:
        """Follow the chain of ``(tokens, extra)`` from ``root`` as far as it is known. Costs O(blocks found)."""
        found: list[int] = []
        parent = root
        for tokens, extra in keys:
            key = BlockKey(parent, tokens, extra)
            digest = key.digest()
            block = self._block.get(digest)
            if block is None or self._key[block][1] != key:
                break
            found.append(block)
            parent = digest
        return Match(tuple(found), parent)

    def register(self, key: BlockKey, block: int) -> tuple[bytes, bool]:
        """Remember that ``block`` holds ``key``. The first block with a digest keeps it; returns the digest and
        whether this block is the one now known. Raises ``ValueError`` when the block holds another key already.
        """
        digest = key.digest()
        if block in self._key and self._key[block][1] != key:
            raise ValueError(f"block {block} is registered with other tokens")
        known = self._block.setdefault(digest, block)
        if known == block:
            self._key[block] = (digest, key)
        return digest, known == block

    def forget(self, block: int) -> None:
        """The block is evicted. Its children stay until they are evicted, but cannot be reached through it."""
        digest, _ = self._key.pop(block)
        del self._block[digest]

    def check_integrity(self) -> None:
        """Raise ``AssertionError`` unless both directions agree."""
        assert {block: digest for digest, block in self._block.items()} == {block: digest for block, (digest, _) in self._key.items()}
        assert all(key.digest() == digest for digest, key in self._key.values())
