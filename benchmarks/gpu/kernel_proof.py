"""Is the kernel right on this device? Random calls of all head sizes, beside numpy in float64; and its compiler's time."""

import time
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np

from benchmarks.gpu.kernel_cases import CaseMaker, HeadShape
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.kernel.language import Language, NoKernelError, compiling

TYPES = (mx.float32, mx.float16, mx.bfloat16)
SIZES = ((64, 64), (80, 80), (96, 96), (128, 128), (192, 128), (256, 256))
HEADS = (1, 2, 3, 4, 5, 7, 8, 16)  # query heads to a KV head
SHAPES = [
    HeadShape(dtype, *dims, HEADS[(3 * at + kind) % len(HEADS)], (16, 32, 16)[kind])
    for at, dims in enumerate(SIZES)
    for kind, dtype in enumerate(TYPES)
]
SHAPES += [replace(shape, group=32 if shape.dim % 64 else 64) for shape in SHAPES if not shape.dim % 32]


@dataclass(frozen=True)
class Proof:
    """What ``cases`` of one shape gave: the ``worst`` error, 1 being what rounding may do; or why there is none."""

    shape: str
    cases: int
    worst: float
    first_seconds: float  # of the first call, which compiles
    reason: str = ""

    @property
    def is_right(self) -> bool:
        """Tells whether the kernel compiled, and was off by no more than rounding."""
        return not self.reason and self.worst <= 1

    def cells(self) -> list[str]:
        """Returns a row of the table."""
        verdict = self.reason or ("right" if self.is_right else "WRONG")
        return [self.shape, str(self.cases), f"{self.worst:.3f}", f"{self.first_seconds:.2f}", verdict]


def proof(language: Language, shape: HeadShape, cases: int) -> Proof:
    """Returns what so many random cases say. Of fifty one has contexts in splits."""
    random = np.random.default_rng(SHAPES.index(shape) if shape in SHAPES else 0)
    kernel, maker = DecodeKernel(language, shape.block_size), CaseMaker(shape, random)
    began, worst, first = time.perf_counter(), 0.0, 0.0
    for number in range(cases):
        case = maker.any(most_rows=3, most_tokens=3000) if number % 50 == 1 else maker.any()
        try:
            with compiling():
                worst = max(worst, case.error(kernel))
        except NoKernelError as error:
            return Proof(str(shape), number, float("inf"), first, error.message)
        first = first or time.perf_counter() - began
    return Proof(str(shape), cases, worst, first)
