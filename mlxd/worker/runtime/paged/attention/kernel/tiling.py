"""How the work of the kernel is cut: heads into tiles, contexts into splits."""

from dataclasses import dataclass

from mlxd.worker.runtime.paged.attention.kernel.language import NoKernelError

SIMDGROUPS = 8  # of a threadgroup
_LARGEST_TILE = 8  # query heads
_REGISTERS = 56  # of a lane, for what a tile holds: queries, outputs and scores; with all else about twice as many, which GPUs have
_KEYS = 4  # whose scores a lane holds at once
_SPLIT = 256  # tokens: four runs of keys for each simdgroup would be the least
_MOST_SPLITS = 64
_LARGEST_DIM = 512


@dataclass(frozen=True)
class Tiling:
    """``tile`` query heads share a threadgroup of ``simdgroups``, which computes one of ``splits`` of what a row sees."""

    tile: int
    simdgroups: int
    splits: int


def tiling(heads: int, dim: int, value_dim: int, longest: int) -> Tiling:
    """Returns the tiling for ``heads`` query heads to a KV head, and contexts of up to ``longest`` tokens. A row that sees less uses fewer
    of the splits.

    Raises ``NoKernelError`` for head sizes that the kernel cannot load.
    """
    if dim % 4 or value_dim % 4 or max(dim, value_dim) > _LARGEST_DIM:
        raise NoKernelError(f"heads of {dim} and {value_dim} elements: the kernel takes multiples of 4 up to {_LARGEST_DIM}")
    fitting = _REGISTERS // (_elements(dim) + _elements(value_dim) + _KEYS)
    passes = -(-heads // max(1, min(fitting, _LARGEST_TILE)))
    splits = min(_MOST_SPLITS, 1 << (-(-longest // _SPLIT) - 1).bit_length())
    return Tiling(-(-heads // passes), SIMDGROUPS, splits)


def _elements(dim: int) -> int:
    """Returns how many elements of a head a lane holds."""
    width = 2 if dim % 128 == 64 else 4
    return -(-dim // (32 * width)) * width
