"""How a cache of so many bytes is divided: blocks, arenas, snapshots. All of it is pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlxd import quantities
from mlxd.errors import ConfigError

_ARENAS = 4  # as many as the limit is divided into: each costs attention operations, and is copied when it grows
_LEAST_ARENA = 1024  # tokens; smaller ones would cut sequences into too many runs
_SPARE = 16 * 2**20  # bytes that may lie idle, beside a part of what is held
_FREE_TOKENS = 2**22  # the pool of a model whose attention layers take no memory
_LIVE_SHARE = 0.25  # of the limit at most for the states of sequences that run, for a model that has keys and values too; else half
_SNAPSHOT_SHARE = 0.25  # of the rest
_LEAST_BLOCKS = 2  # one for a token of a prompt, and one for what follows
_USUAL = 8192  # tokens of a sequence, by which blocks of windows and of what sees everything are shared out
_AHEAD = 512  # tokens that a sequence has in a window beside it, while its prompt is computed


@dataclass(frozen=True)
class WindowBytes:
    """What layers take that see ``window`` tokens: ``token_bytes`` of keys and values, all of these layers together."""

    window: int
    token_bytes: int


@dataclass(frozen=True)
class WindowSizes:
    """The part of a cache that layers have which see ``window`` tokens, as ``CacheSizes`` has it of the others."""

    window: int
    arena_blocks: int
    capacity: int
    spare: int


@dataclass(frozen=True)
class CacheSizes:
    """The parts of a cache: ``capacity`` blocks, at most ``arena_blocks`` of them an arena; ``spare`` may lie idle, however few hold
    something. ``snapshots`` is how many copies of recurrent state may be kept, 0 for a model that has none; ``sequences`` is how many may
    run, each with a state of its own.
    """

    arena_blocks: int
    capacity: int
    spare: int
    snapshots: int
    sequences: int
    windows: tuple[WindowSizes, ...] = ()


@dataclass(frozen=True)
class CacheSizing:
    """The way to divide the cache of one model: ``token_bytes`` of keys and values, ``state_bytes`` of recurrent state for each sequence,
    either may be 0. Layers that see one of ``windows`` have blocks of their own, and their bytes are told there.
    """

    block_size: int
    token_bytes: int
    state_bytes: int
    windows: tuple[WindowBytes, ...] = ()

    def sizes(self, limit: int, sequences: int = 0) -> CacheSizes:
        """Returns the sizes for ``limit`` bytes, and up to ``sequences`` that run at once.

        Raises ``ConfigError`` where they hold next to nothing.
        """
        running = self.running(limit, sequences)
        blocks, snapshots = self._divide(max(0, limit - running * self.state_bytes))
        if blocks < _LEAST_BLOCKS or (self.state_bytes and not snapshots):
            least = max(_LEAST_BLOCKS * sum(self.block_bytes), self.state_bytes) * (4 if self.state_bytes else 1) + self.state_bytes
            needed = f"the cache of this model needs at least {quantities.least_size(least)}"
            raise ConfigError([f"cache.memory is {quantities.size(limit)}, but {needed}; raise it"])
        whole = self._whole(blocks)
        arena_blocks = self._arena_blocks(whole)
        windows = tuple(self._window_sizes(one, blocks) for one in self.windows)
        return CacheSizes(arena_blocks, whole, self._spare(self.token_bytes), snapshots, running, windows)

    def resized(self, limit: int, arena_blocks: int, sequences: int = 0, windows: Sequence[int] = ()) -> CacheSizes:
        """Returns the sizes for another limit in bytes, with arenas as they are, and two blocks at least; ``windows`` are the blocks of
        those of each window.
        """
        running = self.running(limit, sequences)
        blocks, snapshots = self._divide(max(0, limit - running * self.state_bytes))
        found = tuple(self._window_resized(one, blocks, arena) for one, arena in zip(self.windows, windows, strict=True))
        whole = max(_LEAST_BLOCKS, self._whole(blocks))
        return CacheSizes(arena_blocks, whole, self._spare(self.token_bytes), snapshots, running, found)

    def running(self, limit: int, sequences: int) -> int:
        """Returns how many of ``sequences`` may run: as many as have room for their recurrent states, and one at least."""
        if not self.state_bytes:
            return sequences
        share = _LIVE_SHARE if any(self.block_bytes) else 0.5
        return min(sequences, max(1, int(limit * share) // self.state_bytes))

    def needed(self, tokens: int) -> int:
        """Returns the bytes of a cache that holds a sequence of so many tokens."""
        share = (1 - _LIVE_SHARE) * (1 - _SNAPSHOT_SHARE) if self.state_bytes else 1.0
        return int(self._taken_alone(-(-tokens // self.block_size) + 1) / share)

    def longest(self, limit: int, sequences: int = 0) -> int:
        """Returns how many tokens a sequence may have that has ``limit`` bytes for itself."""
        room = max(0, limit - self.running(limit, sequences) * self.state_bytes)
        room -= int(room * _SNAPSHOT_SHARE) if self.state_bytes and any(self.block_bytes) else 0
        blocks = range(_FREE_TOKENS // self.block_size + 1)
        return (bisect_right(blocks, room, key=self._taken_alone) - 1) * self.block_size

    @property
    def block_bytes(self) -> tuple[int, ...]:
        """Returns the bytes of one block's keys and values in each group of layers: those that see everything, then window by window."""
        return tuple(size * self.block_size for size in (self.token_bytes, *(one.token_bytes for one in self.windows)))

    def bytes_of(self, blocks: Iterable[int]) -> int:
        """Returns the bytes of so many blocks of each group of layers, in the order of ``block_bytes``."""
        return sum(count * size for count, size in zip(blocks, self.block_bytes, strict=True))

    def _whole(self, blocks: int) -> int:
        """Returns how many blocks there are of layers that see everything: as many as anybody could want where no layer does."""
        return blocks if self.token_bytes else _FREE_TOKENS // self.block_size

    def _arena_blocks(self, blocks: int) -> int:
        """Returns how many blocks arenas have where there are so many in all."""
        return min(blocks, max(-(-_LEAST_ARENA // self.block_size), blocks // _ARENAS))

    def _spare(self, token_bytes: int) -> int:
        """Returns how many blocks of layers there may be memory for that hold nothing, however few hold something."""
        bytes_each = _SPARE // (1 + len(self.windows))
        return bytes_each // (token_bytes * self.block_size) if token_bytes else _LEAST_ARENA

    def _divide(self, limit: int) -> tuple[int, int]:
        """Returns how many blocks sequences may have all together, and how many snapshots there are."""
        for_snapshots = int(limit * (_SNAPSHOT_SHARE if any(self.block_bytes) else 1)) if self.state_bytes else 0
        snapshots = for_snapshots // self.state_bytes if self.state_bytes else 0
        return self._blocks(limit - for_snapshots), snapshots

    def _blocks(self, room: int) -> int:
        """Returns the most blocks that sequences may have all together, for which there is room, windows' beside them included."""
        if not any(one.token_bytes for one in self.windows):
            return room // self.block_bytes[0] if self.token_bytes else _FREE_TOKENS // self.block_size
        return bisect_right(range(_FREE_TOKENS // self.block_size + 1), room, key=self._taken) - 1

    def _taken(self, blocks: int) -> int:
        """Returns the bytes of so many blocks, with those that windows need beside."""
        beside = (self._window_blocks(one, blocks) * one.token_bytes for one in self.windows)
        return (blocks * self.token_bytes + sum(beside)) * self.block_size

    def _taken_alone(self, blocks: int) -> int:
        """Returns the bytes of one sequence of so many blocks."""
        beside = (min(blocks, -(-one.window // self.block_size) + _LEAST_BLOCKS) * one.token_bytes for one in self.windows)
        return (blocks * self.token_bytes + sum(beside)) * self.block_size

    def _window_blocks(self, one: WindowBytes, blocks: int) -> int:
        """Returns how many blocks of a window sequences need that fill so many ``blocks``: one, or several of a usual length."""
        held = -(-(one.window + _AHEAD) // self.block_size)
        return min(blocks, max(held, held * blocks * self.block_size // _USUAL))

    def _window_sizes(self, one: WindowBytes, blocks: int) -> WindowSizes:
        held = self._window_blocks(one, blocks)
        return WindowSizes(one.window, self._arena_blocks(held), held, self._spare(one.token_bytes))

    def _window_resized(self, one: WindowBytes, blocks: int, arena_blocks: int) -> WindowSizes:
        """Returns the sizes with arenas as they are, and room for a window at least."""
        least = min(blocks, -(-one.window // self.block_size) + _LEAST_BLOCKS)
        held = max(self._window_blocks(one, blocks), least, _LEAST_BLOCKS)
        return WindowSizes(one.window, arena_blocks, held, self._spare(one.token_bytes))
