"""Blocks on their way to another place of their pool."""

import msgspec


class Move(msgspec.Struct, frozen=True):
    """A copy of the content of blocks ``source`` to blocks ``target``, pairwise, in one group of layers: 0 is that of layers that see
    everything.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    group: int = 0
