"""The names of a sequence's full blocks, one after the other.

The hash of a block covers its parent's hash (vLLM's prefix caching does the same), so equal tokens at another position or
after another beginning have another name.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, MediaSpan

DIGEST_BYTES = 16


@dataclass(frozen=True)
class BlockKey:
    """What a full block holds: its tokens, and an extra key for each picture whose placeholder tokens lie in it. ``parent`` is the
    digest of the block before; the first block's is the chain's root.
    """

    parent: bytes
    tokens: tuple[int, ...]
    extra: tuple[bytes, ...] = ()

    def digest(self) -> bytes:
        """Returns ``blake2b(parent, tokens, extra)``; every part is length-prefixed."""
        state = hashlib.blake2b(self.parent, digest_size=DIGEST_BYTES)
        state.update(struct.pack(f"<I{len(self.tokens)}q", len(self.tokens), *self.tokens))
        for part in self.extra:
            state.update(struct.pack("<I", len(part)) + part)
        return state.digest()


def root_digest(root: CacheRoot) -> bytes:
    """Returns the parent of every first block of this root; every part of it is length-prefixed."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in map(str.encode, msgspec.structs.astuple(root)):
        state.update(struct.pack("<I", len(part)) + part)
    return state.digest()


def extra_keys(media: Iterable[MediaSpan], block_size: int) -> dict[int, tuple[bytes, ...]]:
    """Returns the extra keys of each block that a span touches, by the block's index: what the span shows, and of what part of
    it, and where it lies relative to the block, for one large picture is not two small ones.
    """
    keys: dict[int, tuple[bytes, ...]] = {}
    for span in media:
        for index in range(span.start // block_size, -(-span.stop // block_size)):
            first = index * block_size
            place = struct.pack("<qqq", span.start - first, span.stop - first, span.first)
            keys[index] = (*keys.get(index, ()), place + span.content)
    return keys


class BlockChain:
    """The chain grows with its sequence; each token is hashed once, however often the chain is looked up.

    ``root`` is the parent of the first block, ``media`` are those of the prompt.
    """

    def __init__(self, root: bytes, block_size: int, media: Iterable[MediaSpan] = ()) -> None:
        self._block_size = block_size
        self._extra = extra_keys(media, block_size)
        self.keys: list[BlockKey] = []
        self.digests: list[bytes] = []
        self._root = self._end = root

    @classmethod
    def of(cls, prompt: EncodedPrompt, block_size: int) -> Self:
        """Returns the chain of a prompt's full blocks."""
        chain = cls(root_digest(prompt.root), block_size, prompt.media)
        chain.extend(prompt.tokens)
        return chain

    def __len__(self) -> int:
        """Returns how many full blocks there are so far."""
        return len(self.keys)

    def __bool__(self) -> bool:
        """Returns True, for it is a chain also without a full block."""
        return True

    def extend(self, tokens: Sequence[int]) -> None:
        """Names the blocks that have become full. ``tokens`` are all of the sequence, from its first."""
        size = self._block_size
        for index in range(len(self.keys), len(tokens) // size):
            key = BlockKey(self._end, tuple(tokens[index * size : (index + 1) * size]), self._extra.get(index, ()))
            self._end = key.digest()
            self.keys.append(key)
            self.digests.append(self._end)

    def truncate(self, length: int) -> None:
        """Forgets all names but the first ``length``: other tokens may follow these."""
        del self.keys[length:], self.digests[length:]
        self._end = self.digests[-1] if self.digests else self._root
