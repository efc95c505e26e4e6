"""What tells which cached blocks hold what is no number, block by block or in the state behind them."""

from collections.abc import Iterator, Mapping, Sequence

import mlx.core as mx

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.sampling.finite import all_finite


def not_finite_blocks(blocks: Sequence[int], stores: Sequence[KeyValueStore], geometry: Geometry) -> frozenset[int]:
    """Returns those of ``blocks`` with a key or value that is NaN or infinite in any layer; waits for the device."""
    return frozenset(block for run in geometry.addresses.ranges(blocks) for block in _not_finite(run, stores, geometry))


def not_finite_snapshots(snapshots: Mapping[int, Sequence[mx.array]]) -> frozenset[int]:
    """Returns the blocks whose recurrent state, ``snapshots[block]``, is NaN or infinite anywhere; waits for the device."""
    return frozenset(block for block, arrays in snapshots.items() if not all_finite(arrays))


def _not_finite(run: range, stores: Sequence[KeyValueStore], geometry: Geometry) -> Iterator[int]:
    slots = geometry.run(run)
    tensors = [tensor for store in stores if store.holds(slots) for tensor in store.read(slots)]
    if not tensors:
        return iter(())
    finite = mx.all(mx.stack([_finite(tensor, len(run)) for tensor in tensors]), axis=0)
    return (block for block, good in zip(run, finite.tolist(), strict=True) if not good)  # type: ignore[arg-type]  # of one axis


def _finite(tensor: mx.array, blocks: int) -> mx.array:
    """Tells of each block in ``[1, kv_heads, slots, head_dim]`` whether it is finite: ``[blocks]``. A maximum or minimum is NaN where any
    of its operands is.
    """
    by_block = tensor.reshape(tensor.shape[1], blocks, -1)
    return mx.all(mx.isfinite(mx.max(by_block, axis=-1)) & mx.isfinite(mx.min(by_block, axis=-1)), axis=0)
