"""What the cache says when it is asked: what it has of a prompt, under which blocks, and what is left behind a rewind."""

from dataclasses import dataclass

from mlxd.types import CacheOutcome


@dataclass(frozen=True)
class Lookup:
    """What the cache has of a prompt: ``blocks`` to begin with, and of each group of layers that see a window the last of them that it
    sees. ``computing`` names what this one needs next and other sequences compute now: the last of some blocks, or what else it takes to
    begin behind one. Of ``known_tokens`` keys and values are cached, but not always a recurrent state, or what windows show.
    """

    blocks: tuple[int, ...]
    cached_tokens: int
    outcome: CacheOutcome
    computing: bytes | None = None
    known_tokens: int = 0
    windows: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class CachedBlock:
    """A block that the prefix cache would hand out, and, as far as they are there, the snapshot of recurrent state at its end and the
    blocks of the same tokens in each group of layers that see a window.
    """

    block: int
    snapshot: int | None = None
    windows: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Rewound:
    """What is left of a sequence: ``computed`` tokens still have keys and values. With recurrent state it goes on with snapshot ``resume``,
    or, at its beginning, with none.
    """

    computed: int
    resume: int | None = None


def outcome(found: int, usable: int) -> CacheOutcome:
    """Returns what it is called that ``found`` of the ``usable`` full blocks of a prompt were cached."""
    if not found:
        return CacheOutcome.MISS
    return CacheOutcome.HIT if found == usable else CacheOutcome.PREFIX_HIT
