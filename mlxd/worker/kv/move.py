"""Blocks on their way to another place of their pool."""

import msgspec


class Move(msgspec.Struct, frozen=True):
    """A copy of the content of blocks ``source`` to blocks ``target``, pairwise."""

    source: tuple[int, ...]
    target: tuple[int, ...]
