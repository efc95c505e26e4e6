"""The ways to attend that a model has, and the one that each step gets."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.attention import Attention
from mlxd.worker.runtime.paged.attention.gather import Gather
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import decode_kernel
from mlxd.worker.runtime.paged.attention.kernel.kernel_attention import KernelAttention
from mlxd.worker.runtime.paged.attention.kernel.language import NoKernelError
from mlxd.worker.runtime.paged.attention.layer_shape import LayerShape, Observed
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.attention.rows import fused_attention, grouped_attention


class Ways:
    """Attention by whichever of ``ways`` the regions name. Rows, which is right on every device, is always among them. ``missing`` says why
    this device lacks others, and ``shapes`` are those of the layers that were seen to attend.
    """

    def __init__(self, ways: dict[AttentionWay, Attention], missing: Mapping[AttentionWay, str]) -> None:
        self.ways = ways
        self.missing = missing
        self.regions = Regions()
        self.shapes: Counter[LayerShape] = Counter()

    @classmethod
    def of_device(cls, block_size: int, *, fused: bool) -> "Ways":
        """Returns all ways of a device, which is ``fused`` where it has a fused kernel; rows is the one that is used."""
        rows = fused_attention if fused else grouped_attention
        ways: dict[AttentionWay, Attention] = {AttentionWay.ROWS: rows, AttentionWay.GATHER: Gather(rows, fused=fused)}
        try:
            ways[AttentionWay.KERNEL] = KernelAttention(rows, decode_kernel(block_size))
        except NoKernelError as error:
            return cls(ways, {AttentionWay.KERNEL: error.message})
        return cls(ways, {})

    def of(self, plan: AttentionPlan) -> Attention:
        """Returns the way for a step."""
        sequences = len(plan.split.decoding)
        way = self.regions.way(sequences, plan.split.count, plan.longest, plan.seen) if sequences else AttentionWay.ROWS
        return self.ways[way]

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Learns the shapes of the layers that attend by rows within."""
        rows = self.ways[AttentionWay.ROWS]
        self.ways[AttentionWay.ROWS] = observed = Observed(rows)
        try:
            yield
        finally:
            self.ways[AttentionWay.ROWS] = rows
            self.shapes = observed.shapes
