"""The names of a sequence's full blocks, one after the other.

The hash of a block covers its parent's hash (vLLM's prefix caching does the same), so equal tokens at another position or
after another beginning have another name.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

DIGEST_BYTES = 16


@dataclass(frozen=True)
class BlockKey:
    """What a full block holds: its tokens, and extra keys such as the content hash of an image whose placeholder
    tokens lie in it. ``parent`` is the digest of the block before; the first block's is the chain's root.
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


class BlockChain:
    """Grows with its sequence; each token is hashed once, however often the chain is looked up.

    ``extra[i]`` are the extra keys of block ``i``, where there are any.
    """

    def __init__(self, root: bytes, block_size: int, extra: Sequence[tuple[bytes, ...]] = ()) -> None:
        self._block_size = block_size
        self._extra = extra
        self.keys: list[BlockKey] = []
        self.digests: list[bytes] = []
        self._end = root

    def __len__(self) -> int:
        """Full blocks so far."""
        return len(self.keys)

    def extend(self, tokens: Sequence[int]) -> None:
        """``tokens`` are all of the sequence, from its first: name the blocks that have become full."""
        size = self._block_size
        for index in range(len(self.keys), len(tokens) // size):
            extra = self._extra[index] if index < len(self._extra) else ()
            key = BlockKey(self._end, tuple(tokens[index * size : (index + 1) * size]), extra)
            self._end = key.digest()
            self.keys.append(key)
            self.digests.append(self._end)
