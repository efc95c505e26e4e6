"""What ``mx.fast.metal_kernel`` and ``mx.fast.cuda_kernel`` return, but run on the CPU: the same call, the same function written around the
body, and the same header behind a few words of its language.
"""

import ctypes
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import numpy as np

from mlxd.worker.runtime.paged.attention.kernel.language import Language, header_of
from tests.support.lanes.compiler import compiled

_HERE = Path(__file__).parent

_TYPES = {mx.float32: "float", mx.float16: "float16_t", mx.bfloat16: "bfloat16_t", mx.int32: "int32_t", mx.uint8: "uint8_t"}
_RUN = 'extern "C" int run(void** arrays, void** shapes, const unsigned* sizes, unsigned seed) {'
_GUARD = 64  # elements on either side of an output, which nobody may write
_UNTOUCHED = np.float32(-123.5)


@dataclass
class CustomKernel:
    """A kernel whose inputs are of the types above, and whose outputs are float32."""

    name: str
    input_names: list[str]
    output_names: list[str]
    source: str
    header: str = ""
    seeds: itertools.count = field(default_factory=itertools.count)  # the order of lanes and threadgroups

    def __call__(self, *, inputs, grid, threadgroup, output_shapes, output_dtypes, template=()):
        assert set(output_dtypes) == {mx.float32}
        assert threadgroup[1:] == (1, 1)
        library = compiled(self._written(inputs, template))
        arrays = [np.ascontiguousarray(_as_numpy(array)) for array in inputs]
        shapes = [np.array(array.shape, np.int32) for array in inputs]
        guarded = [np.full(int(np.prod(shape)) + 2 * _GUARD, _UNTOUCHED, np.float32) for shape in output_shapes]
        pointers = [array.ctypes.data for array in arrays] + [array[_GUARD:].ctypes.data for array in guarded]
        sizes = (*grid, *threadgroup)
        finished = library.run(
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_void_p * len(shapes))(*[shape.ctypes.data for shape in shapes]),
            (ctypes.c_uint * len(sizes))(*sizes),
            ctypes.c_uint(next(self.seeds)),
        )
        if not finished:
            raise RuntimeError(f"{self.name}: lanes wait for others that have ended")
        return [_inside(array, shape) for array, shape in zip(guarded, output_shapes, strict=True)]

    def _written(self, inputs, template):
        """Returns the source of a library, as MLX writes a kernel: shapes are there where the body names them."""
        lines = [self.header, "namespace {"]
        setting = []
        for at, (name, array) in enumerate(zip(self.input_names, inputs, strict=True)):
            lines.append(f"const {_TYPES[array.dtype]}* {name};")
            setting.append(f"{name} = static_cast<const {_TYPES[array.dtype]}*>(arrays[{at}]);")
            if f"{name}_shape" in self.source:
                lines.append(f"const int* {name}_shape;")
                setting.append(f"{name}_shape = static_cast<const int*>(shapes[{at}]);")
        for at, name in enumerate(self.output_names, len(inputs)):
            lines.append(f"float* {name};")
            setting.append(f"{name} = static_cast<float*>(arrays[{at}]);")
        lines.append("void body() {")
        for name, value in template:
            lines.append(f"using {name} = {_TYPES[value]};" if isinstance(value, mx.Dtype) else f"constexpr int {name} = {value};")
        lines += [self.source, "}", "}  // namespace", _RUN, *setting]
        lines += ["return lanes::run(body, {sizes[0], sizes[1], sizes[2]}, {sizes[3], sizes[4], sizes[5]}, seed);", "}"]
        return "\n".join(lines)


def _language(name, words):
    """Returns the language of a device with its own header, which finds the words that it builds upon."""
    upon = [(_HERE / file).read_text() for file in ("lanes.h", words)]
    return Language(f"{name} on lanes", "\n".join([*upon, header_of(name)]), CustomKernel)


METAL = _language("metal", "metal_words.h")
CUDA = _language("cuda", "cuda_words.h")


def _as_numpy(array):
    mx.eval(array)
    return np.array(array.view(mx.uint16) if array.dtype in (mx.float16, mx.bfloat16) else array)


def _inside(guarded, shape):
    assert (guarded[:_GUARD] == _UNTOUCHED).all()
    assert (guarded[-_GUARD:] == _UNTOUCHED).all()
    return mx.array(guarded[_GUARD:-_GUARD].reshape(shape))
