"""The kernel's body, compiled by the system's C++ compiler and run lane by lane, beside numpy.

``MLXD_KERNEL_CASES=10000`` in the environment tries as many random cases as that, over more head sizes, groups and types.
"""

import dataclasses
import os

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.gpu.kernel_cases import CaseMaker, HeadShape
from mlxd.worker.runtime.paged.attention.decode_rows import Segment
from mlxd.worker.runtime.paged.attention.kernel import language as languages
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import Attended, DecodeKernel, decode_kernel
from mlxd.worker.runtime.paged.attention.kernel.language import NoKernelError, compiling, header_of
from mlxd.worker.runtime.paged.attention.kernel.tiling import Tiling, tiling
from mlxd.worker.runtime.paged.key_value_store import StoredVectors
from tests.support.lanes.custom_kernel import CUDA, METAL
from tests.support.lanes.kernel_cases import MORE_SHAPES, SHAPES, Tiled, cases

CASES = int(os.environ.get("MLXD_KERNEL_CASES", "60"))
MANY = CASES >= 1000


@pytest.mark.timeout(300 + CASES)
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(case=cases(MORE_SHAPES if MANY else SHAPES), language=st.sampled_from([METAL, CUDA] if MANY else [METAL]))
def test_the_kernel_is_what_numpy_says(case, language):
    assert case.error(language) <= 1


def long_case(dtype=mx.float32, group=None):
    """Two rows, of 600 tokens and of 5 behind a window, in four splits."""
    maker = CaseMaker(HeadShape(dtype, 64, 64, 2, group=group), np.random.default_rng(7), sizes=(1.0,))
    return Tiled(maker.of(2, 38, 0, [0, 590], [600, 595]), Tiling(2, 2, 4))


@pytest.mark.parametrize("language", [METAL, CUDA], ids=["metal", "cuda"])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("group", [None, 64, 32], ids=["floats", "levels", "levels of two groups"])
def test_a_context_in_splits_is_what_numpy_says(language, dtype, group):
    assert long_case(dtype, group).error(language) <= 1


WRONG = {
    "a sum's sign": ("sums[i] += sums", "sums[i] -= sums"),
    "an element that is loaded": ("static_cast<float>(from[e])", "static_cast<float>(e ? from[e] : -from[e])"),
    "a barrier that is none": ("#define threadgroup_barrier(flags) lanes::everyone.meet()", "#define threadgroup_barrier(flags)"),
    "simdgroups that are the first": ("(lanes::current->index / 32)\n", "0\n"),
    "splits that are more": ("threadgroups_per_grid lanes::groups", "threadgroups_per_grid (uint3{1, 1, 9})"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_header_is_found_out(what):
    right, wrong = WRONG[what]
    assert right in METAL.header
    assert long_case().error(dataclasses.replace(METAL, header=METAL.header.replace(right, wrong))) > 1000


WRONG_LEVELS = {
    "a scale": ("* 0.0078125f", "* 0.0079f"),
    "the scale of a bias": ("params[scale_at + WHOLE / GROUP]", "params[scale_at]"),
    "of another vector": ("(slot) * (2 * (WHOLE / GROUP))", "(slot) * (WHOLE / GROUP)"),
}


@pytest.mark.parametrize("what", WRONG_LEVELS)
def test_wrong_words_for_levels_are_found_out(what, monkeypatch):
    right, wrong = WRONG_LEVELS[what]
    read, changed = languages._read, []

    def spoiled(name):
        text = read(name)
        changed.append(right in text)
        return text.replace(right, wrong)

    monkeypatch.setattr(languages, "_read", spoiled)
    assert long_case(group=64).error(dataclasses.replace(METAL, name=what)) > 1.5
    assert any(changed)


def test_lanes_that_wait_for_ever_are_told_of():
    header = METAL.header.replace("lanes::everyone.meet()", "if (simdgroup_index_in_threadgroup == 0) lanes::everyone.meet()")
    with pytest.raises(RuntimeError, match="wait for others"):
        long_case().found(dataclasses.replace(METAL, header=header))


def test_what_a_compiler_says_is_the_reason():
    with pytest.raises(NoKernelError, match=r"does not compile or run here: .*error: .*nonsense"), compiling():
        long_case().found(dataclasses.replace(METAL, header=METAL.header + "\nnonsense here;"))


def segments():
    """Returns what rows see in two segments, and in both: one row in each alone, one in both, one in neither."""
    maker = CaseMaker(HeadShape(mx.float32, 64, 64, 2), np.random.default_rng(3), sizes=(1.0,))
    whole = maker.of(2, 40, 40, [0, 320, 0, 0], [320, 600, 600, 0])
    halves = (whole.table[:, :20], [320, 0, 320, 0]), (whole.table[:, 20:], [0, 280, 280, 0])
    one, two = (
        dataclasses.replace(whole, table=table, first=np.zeros(4, np.int32), stop=np.array(stop, np.int32)) for table, stop in halves
    )
    return one, two, whole


def attended(case):
    return Attended(*map(mx.array, Tiled(case, Tiling(2, 2, 1)).found()))


def test_segments_are_merged():
    one, two, whole = segments()
    right, merged = whole.expected(), attended(one).merged(attended(two))
    assert (np.array(merged.total)[3] == -np.inf).all()
    np.testing.assert_allclose(np.array(merged.total)[:3], right.total[:3], rtol=1e-5)
    np.testing.assert_allclose(np.array(merged.output), right.output, atol=1e-4)


def test_sinks_join_the_denominator():
    one, _, _ = segments()
    sinks = np.array([0.5, -1.0, 3.0, 20.0], np.float32)
    right = one.expected()
    weight = 1 / (1 + np.exp(sinks - right.total))
    np.testing.assert_allclose(np.array(attended(one).with_sinks(mx.array(sinks))), right.output * weight[..., None], atol=1e-4)


def test_the_device_here_has_none():
    with pytest.raises(NoKernelError, match="needs Metal or CUDA"):
        decode_kernel(16)


@pytest.mark.parametrize("name", ["metal", "cuda"])
def test_a_gpu_has_its_own(name, monkeypatch):
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    monkeypatch.setattr(mx.metal, "is_available", lambda: name == "metal")
    monkeypatch.setattr(mx.cuda, "is_available", lambda: name == "cuda")
    language = decode_kernel(16).language
    assert (language.name.lower(), language.header) == (name, header_of(name))
    assert language.make is getattr(mx.fast, f"{name}_kernel")


def test_a_kernel_s_name_changes_with_its_source():
    """For MLX keeps compiled CUDA on disk by that name."""
    other = dataclasses.replace(METAL, header=METAL.header + " ")
    assert METAL.kernel("merge", [], []).name != other.kernel("merge", [], []).name


def call(queries, keys, values):
    rows = queries.shape[0]
    seen = Segment(0, mx.zeros((rows, 1), mx.int32), mx.zeros(rows, mx.int32), mx.ones(rows, mx.int32))
    return DecodeKernel(METAL, 16)(queries, StoredVectors(keys), StoredVectors(values), seen, 1.0)


def test_what_the_kernel_cannot_take_is_refused_by_name():
    keys = mx.zeros((1, 16, 64))
    with pytest.raises(NoKernelError, match=r"float16, mlx\.core\.float32"):
        call(mx.zeros((1, 1, 64), mx.float16), keys, keys)
    with pytest.raises(NoKernelError, match="int32"):
        call(mx.zeros((1, 1, 64), mx.int32), keys.astype(mx.int32), keys.astype(mx.int32))
    with pytest.raises(NoKernelError, match="heads of 62 and 64 elements"):
        call(mx.zeros((1, 1, 62)), mx.zeros((1, 16, 62)), keys)
    with pytest.raises(NoKernelError, match="heads of 64 and 1024 elements"):
        call(mx.zeros((1, 1, 64)), keys, mx.zeros((1, 16, 1024)))


@pytest.mark.parametrize("longest", [1, 256, 257, 5000, 10**6])
@pytest.mark.parametrize("heads", [1, 3, 7, 8, 11, 48])
def test_tiles_hold_all_heads_and_little_else(heads, longest):
    found = tiling(heads, 128, 128, longest)
    passes = -(-heads // found.tile)
    assert found.tile <= 8
    assert passes * found.tile - heads < passes
    assert 1 <= found.splits <= 64
    assert found.splits == 64 or found.splits * 256 >= longest


def test_larger_heads_have_smaller_tiles():
    assert [tiling(16, dim, dim, 100).tile for dim in (64, 128, 256, 512)] == [6, 4, 2, 1]
