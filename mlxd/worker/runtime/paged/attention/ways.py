"""The ways to attend that a model has, and the one that each step gets."""

from collections.abc import Mapping

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.attention import Attention
from mlxd.worker.runtime.paged.attention.gather import Gather
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import decode_kernel
from mlxd.worker.runtime.paged.attention.kernel.kernel_attention import KernelAttention
from mlxd.worker.runtime.paged.attention.kernel.language import NoKernelError
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.attention.rows import fused_attention, grouped_attention


class Ways:
    """Attention by whichever of ``ways`` the regions name. Rows, which is right on every device, is always among them. ``missing`` says
    why the device has not the others.
    """

    def __init__(self, ways: Mapping[AttentionWay, Attention], regions: Regions, missing: Mapping[AttentionWay, str]) -> None:
        self.ways = ways
        self.regions = regions
        self.missing = missing

    @classmethod
    def of_device(cls, block_size: int, *, fused: bool) -> "Ways":
        """Returns all ways of a device, which is ``fused`` where it has a fused kernel; rows is the one that is used."""
        rows = fused_attention if fused else grouped_attention
        ways: dict[AttentionWay, Attention] = {AttentionWay.ROWS: rows, AttentionWay.GATHER: Gather(rows, fused=fused)}
        missing: dict[AttentionWay, str] = {}
        try:
            ways[AttentionWay.KERNEL] = KernelAttention(rows, decode_kernel(block_size))
        except NoKernelError as error:
            missing[AttentionWay.KERNEL] = error.message
        return cls(ways, Regions(), missing)

    def of(self, plan: AttentionPlan) -> Attention:
        """Returns the way for a step."""
        rows = plan.split.count
        way = self.regions.way(rows, plan.longest, plan.seen) if rows else AttentionWay.ROWS
        return self.ways[way]
