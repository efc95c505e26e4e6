"""What goes between memory and disk: blocks that are copied out of their arenas, and blocks that are written into them again."""

import msgspec

from mlxd.worker.kv.block_chain import BlockKey


class Spill(msgspec.Struct, frozen=True):
    """A block that is to go to disk: where it is, its name, and what that was made of. ``group`` is its group of layers."""

    block: int
    digest: bytes
    key: BlockKey
    group: int = 0


class Fetch(msgspec.Struct, frozen=True):
    """What was read from disk and is to be in ``blocks`` of a ``group`` of layers again: the buffers of each, as they were spilled."""

    blocks: tuple[int, ...]
    payloads: tuple[tuple[memoryview, ...], ...]
    group: int = 0
