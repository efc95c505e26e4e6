"""Whole-prompt entries: the caches of past requests, least recently used out first.

An entry holds everything that was fed to the model, prompt and answer, so the next turn of a conversation finds its whole
history. An entry is also found by a beginning it shares with a prompt, where its layers can be cut back to it: recurrent
layers cannot, nor can rotating ones that have dropped something; then only an entry that is itself a beginning of the prompt
is of use, and the runner stores one more at the end of each prompt.

An entry is found by prompts of its own root only: those of another tenant's salt, for one, neither find it nor learn that it is there.

Entries and those who use them share no array objects. They may share buffers: MLX copies a shared buffer before it writes.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import ArraysCache, CacheList, ConcatenateKVCache, KVCache, QuantizedKVCache, RotatingKVCache

from mlxd.types import CacheFigures, CacheOutcome, EntryFigures
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.runtime.sampling.finite import all_finite


@dataclass(frozen=True)
class _Key:
    """What an entry holds: all of these tokens, of a prompt with this root."""

    root: CacheRoot
    tokens: tuple[int, ...]

    def begins(self, other: "_Key") -> bool:
        """Tells whether it is a beginning of the other."""
        return self.root == other.root and self.tokens == other.tokens[: len(self.tokens)]


@dataclass(frozen=True)
class Found:
    """Layer caches that are the caller's own, holding the first ``tokens`` tokens of the prompt."""

    layers: list[Any]
    tokens: int


class PromptCache:
    """A cache of at most ``max_entries`` entries of together ``max_bytes``."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._entries: OrderedDict[_Key, list[Any]] = OrderedDict()  # layer caches, oldest first
        self._sizes: dict[_Key, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Returns the bytes that all entries hold."""
        return sum(self._sizes.values())

    def figures(self, bytes_used: int) -> CacheFigures:
        """Returns what it holds beside the ``bytes_used`` of running requests."""
        kept = EntryFigures(count=len(self))
        return CacheFigures(bytes_used=bytes_used, bytes_cached=self.nbytes, limit_bytes=self.max_bytes, kept=kept)

    def find(self, prompt: Sequence[int], root: CacheRoot) -> Found | None:
        """Returns the entry of this root that spares the most of ``prompt``, at most all but its last token; None when none spares any."""
        best = self._best(prompt, root)
        if best is None:
            return None
        shared, key = best
        self._entries.move_to_end(key)
        layers = copy.deepcopy(self._entries[key])
        surplus = len(key.tokens) - shared
        if surplus:
            if any(layer.trim(surplus) != surplus for layer in layers):
                return None
            _compact(layers)
        return Found(layers, shared)

    def known(self, prompt: Sequence[int], root: CacheRoot) -> int:
        """Returns how many tokens of ``prompt`` an entry would spare; nothing is changed, or copied."""
        best = self._best(prompt, root)
        return best[0] if best else 0

    def _best(self, prompt: Sequence[int], root: CacheRoot) -> tuple[int, _Key] | None:
        limit = len(prompt) - 1
        best: tuple[int, _Key] | None = None
        for key, layers in self._entries.items():
            shared = min(_common(key.tokens, prompt), limit) if key.root == root else 0
            usable = shared == len(key.tokens) or can_rewind(layers)
            if usable and shared > (best[0] if best else 0):
                best = (shared, key)
        return best

    def store(self, tokens: Sequence[int], root: CacheRoot, layers: list[Any]) -> None:
        """Keeps ``layers``, which hold exactly ``tokens`` of a prompt of this root; the caller gives them up. Entries that are a beginning
        of this one, and could be cut from it, are dropped: they only take room. Layers that hold what is no number are not kept.
        """
        _compact(layers)
        size = sum(layer.nbytes for layer in layers)
        key = _Key(root, tuple(tokens))
        if size > self.max_bytes or not tokens or not _is_finite(layers):
            return
        if can_rewind(layers):
            for shorter in [known for known in self._entries if known.begins(key)]:
                self._drop(shorter)
        self._entries.pop(key, None)
        self._entries[key] = layers
        self._sizes[key] = size
        self._shrink()

    def resize(self, *, max_entries: int, max_bytes: int) -> None:
        """Changes the limits; what is beyond them goes at once."""
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self._shrink()

    def clear(self) -> int:
        """Drops everything, and returns how many entries that were."""
        count = len(self._entries)
        self._entries.clear()
        self._sizes.clear()
        return count

    def _shrink(self) -> None:
        while len(self._entries) > self.max_entries or self.nbytes > self.max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: _Key) -> None:
        del self._entries[key]
        del self._sizes[key]


def outcome(prompt: Sequence[int], found: Found | None) -> CacheOutcome:
    """Returns ``hit`` where everything was found but the last token, which is always computed. A chat template's opening tokens make most
    conversations a ``prefix_hit``.
    """
    if found is None:
        return CacheOutcome.MISS
    return CacheOutcome.HIT if found.tokens == len(prompt) - 1 else CacheOutcome.PREFIX_HIT


def can_rewind(layers: Sequence[Any]) -> bool:
    """Tells whether cutting tokens off the end gives what was there before them."""
    return all(_is_rewindable(layer) for layer in layers)


def always_rewinds(layers: Sequence[Any]) -> bool:
    """Tells whether ``can_rewind`` holds however many tokens come."""
    return all(isinstance(part, _APPEND_ONLY) for layer in layers for part in _parts(layer))


_APPEND_ONLY = (KVCache, QuantizedKVCache, ConcatenateKVCache)


def _is_rewindable(layer: Any) -> bool:
    # mlx-lm's own is_trimmable also says yes to chunked caches, which may have dropped what the shorter text needs.
    return all(isinstance(part, _APPEND_ONLY) or (isinstance(part, RotatingKVCache) and part.is_trimmable()) for part in _parts(layer))


def _parts(layer: Any) -> Sequence[Any]:
    return layer.caches if isinstance(layer, CacheList) else (layer,)


def _compact(layers: Sequence[Any]) -> None:
    """Copies what is in use out of larger buffers: caches grow in steps of 256 tokens, and one that was cut back to a few tokens would
    keep, count and copy all the rest.
    """
    for layer in layers:
        for part in _parts(layer):
            if type(part) is KVCache and part.keys is not None and part.offset < part.keys.shape[2]:
                part.keys, part.values = (mx.contiguous(whole[..., : part.offset, :]) for whole in (part.keys, part.values))
            elif isinstance(part, ArraysCache):  # states of one row of a batch are views of all rows
                part.cache = [None if state is None else mx.contiguous(state) for state in part.cache]
            # Layer by layer: the larger buffers are never held twice. What is not evaluated keeps what it is made from alive.
            mx.eval(part.state)


def _is_finite(layers: Sequence[Any]) -> bool:
    states = [part.state for layer in layers for part in _parts(layer)]
    return all_finite([tensor for _, tensor in tree_flatten(states) if isinstance(tensor, mx.array)])


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Returns the length of the shared beginning."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
