"""How a cache of so many bytes is divided: blocks, arenas, snapshots. All of it is pure."""

from dataclasses import dataclass

from mlxd import quantities
from mlxd.errors import ConfigError

_ARENAS = 16  # as many as the limit is divided into: memory is taken, and given back, in such portions
_LEAST_ARENA = 1024  # tokens; smaller ones would cut sequences into too many runs
_FREE_TOKENS = 2**22  # the pool of a model whose attention layers take no memory
_LIVE_SHARE = 0.25  # of the limit at most for the states of sequences that run, for a model that has keys and values too; else half
_SNAPSHOT_SHARE = 0.25  # of the rest
_LEAST_BLOCKS = 2  # one for a token of a prompt, and one for what follows


@dataclass(frozen=True)
class CacheSizes:
    """The parts of a cache. ``snapshots`` is how many copies of recurrent state may be kept, 0 for a model that has none; ``sequences`` is
    how many may run, each with a state of its own.
    """

    arena_blocks: int
    max_arenas: int
    snapshots: int
    sequences: int


@dataclass(frozen=True)
class CacheSizing:
    """The way to divide the cache of one model: ``token_bytes`` of keys and values, ``state_bytes`` of recurrent state for each sequence,
    either may be 0.
    """

    block_size: int
    token_bytes: int
    state_bytes: int

    def sizes(self, limit: int, sequences: int = 0) -> CacheSizes:
        """Returns the sizes for ``limit`` bytes, and up to ``sequences`` that run at once.

        Raises ``ConfigError`` where they hold next to nothing.
        """
        running = self.running(limit, sequences)
        blocks, snapshots = self._divide(max(0, limit - running * self.state_bytes))
        if blocks < _LEAST_BLOCKS or (self.state_bytes and not snapshots):
            least = max(_LEAST_BLOCKS * self.block_bytes, self.state_bytes) * (4 if self.state_bytes else 1) + self.state_bytes
            needed = f"the cache of this model needs at least {quantities.least_size(least)}"
            raise ConfigError([f"cache.memory is {quantities.size(limit)}, but {needed}; raise it"])
        arena_blocks = min(blocks, max(-(-_LEAST_ARENA // self.block_size), blocks // _ARENAS))
        return CacheSizes(arena_blocks, blocks // arena_blocks, snapshots, running)

    def resized(self, limit: int, arena_blocks: int, sequences: int = 0) -> CacheSizes:
        """Returns the sizes for another limit in bytes, with arenas as they are, of which there is one at least."""
        running = self.running(limit, sequences)
        blocks, snapshots = self._divide(max(0, limit - running * self.state_bytes))
        return CacheSizes(arena_blocks, max(1, blocks // arena_blocks), snapshots, running)

    def running(self, limit: int, sequences: int) -> int:
        """Returns how many of ``sequences`` may run: as many as have room for their recurrent states, and one at least."""
        if not self.state_bytes:
            return sequences
        share = _LIVE_SHARE if self.token_bytes else 0.5
        return min(sequences, max(1, int(limit * share) // self.state_bytes))

    @property
    def block_bytes(self) -> int:
        """Returns the bytes of one block's keys and values."""
        return self.token_bytes * self.block_size

    def _divide(self, limit: int) -> tuple[int, int]:
        """Returns how many blocks, and how many snapshots."""
        for_snapshots = int(limit * (_SNAPSHOT_SHARE if self.token_bytes else 1)) if self.state_bytes else 0
        snapshots = for_snapshots // self.state_bytes if self.state_bytes else 0
        blocks = (limit - for_snapshots) // self.block_bytes if self.token_bytes else _FREE_TOKENS // self.block_size
        return blocks, snapshots
