"""In bfloat16 and float16: scores, sums and merges are float32, and a hit differs from a cold prompt by rounding only."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime import x86
from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.attention.attention import Layer
from mlxd.worker.runtime.paged.attention.parts import Together
from mlxd.worker.runtime.paged.attention.plan import plan_attention
from mlxd.worker.runtime.paged.attention.rows import fused_attention, grouped_attention
from mlxd.worker.runtime.paged.slots import Geometry, Span
from mlxd.worker.runtime.proof import ROUNDING, difference
from tests.worker.runner_rig import PagedRig, architecture, words

KV_HEADS, GROUP, DIM = 2, 3, 16
GEOMETRY = Geometry(block_size=16, arena_blocks=32)
HALF = {"bfloat16": (mx.bfloat16, 2.0**-8), "float16": (mx.float16, 2.0**-11)}  # and the distance of numbers next to 1

half_types = pytest.mark.parametrize("dtype", HALF)


@pytest.fixture(params=[True, False], ids=["powers", "exponentials"], autouse=True)
def _way(request, monkeypatch):
    monkeypatch.setattr(x86, "_IS_X86", request.param)


def chunk(name, start, count, *runs):
    return Chunk(name, start, count, None, tuple(Run(*run) for run in runs), samples=True)


STEPS = {
    "one run": [chunk("a", 150, 1, (0, 10))],
    "several runs": [chunk("a", 150, 1, (0, 3), (7, 9), (12, 20))],
    "a shared prefix": [chunk("a", 150, 1, (0, 10)), chunk("b", 140, 1, (0, 6), (14, 18)), chunk("c", 145, 1, (0, 6), (20, 21), (24, 28))],
    "a chunk over several runs": [chunk("a", 100, 40, (0, 3), (7, 14))],
}
# One set of keys is MLX's own business where attention is fused.
OURS = [*((grouped_attention, name) for name in STEPS), (fused_attention, "several runs"), (fused_attention, "a shared prefix")]
attentions = pytest.mark.parametrize(("attention", "name"), OURS)


def attended(step, dtype, attention, scale=1.0):
    """What a layer gives for a step, and what it should give for the same rounded operands: float64, row by row."""
    random = np.random.default_rng(3)
    keys, values = (random.standard_normal((1, KV_HEADS, 512, DIM)) for _ in range(2))
    rows = sum(one.count for one in step)
    queries = mx.array(3 * random.standard_normal((rows, KV_HEADS * GROUP, DIM))).astype(dtype)
    stored = [mx.array(one).astype(dtype) for one in (keys, values)]
    arenas = Arenas(512)
    arenas.write([Span(0, 0, 0, 512)], *stored)
    plan = plan_attention(step, GEOMETRY)
    found = attention(queries, Layer(arenas, scale), plan)
    assert found.dtype == dtype
    exact = [np.array(one.astype(mx.float32), dtype=np.float64) for one in (queries, *stored)]
    return plan, np.array(found.astype(mx.float32)), expected(step, scale, *exact)


def expected(step, scale, queries, keys, values):
    rows, row = [], 0
    for one in step:
        slots = [slot for run in one.runs for block in run for slot in range(16 * block, 16 * block + 16)]
        for offset in range(one.count):
            seen = slots[: one.start + offset + 1]
            by_head = queries[row].reshape(KV_HEADS, GROUP, DIM)
            scores = scale * by_head @ keys[0][:, seen].swapaxes(-1, -2)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            rows.append((weights @ values[0][:, seen] / weights.sum(axis=-1, keepdims=True)).reshape(-1, DIM))
            row += 1
    return np.stack(rows)


@half_types
@attentions
def test_attention_rounds_weights_and_output_and_nothing_before(attention, name, dtype):
    """Scores reach 60 here: rounded to bfloat16 they would be off by an eighth, and so would the weights."""
    kind, ulp = HALF[dtype]
    plan, found, exact = attended(STEPS[name], kind, attention)
    assert any(isinstance(part, Together) for part in plan.parts.parts) == (name == "a shared prefix")
    assert np.abs(found - exact).max() <= 2 * ulp * np.abs(exact).max()


@attentions
def test_a_sum_over_many_values_does_not_overflow_float16(attention, name):
    arenas = Arenas(512)
    big = mx.full((1, KV_HEADS, 512, DIM), 30_000.0, mx.float16)
    arenas.write([Span(0, 0, 0, 512)], big, big)
    rows = sum(one.count for one in STEPS[name])
    queries = mx.zeros((rows, KV_HEADS * GROUP, DIM), mx.float16)
    found = attention(queries, Layer(arenas, 1.0), plan_attention(STEPS[name], GEOMETRY))
    np.testing.assert_allclose(np.array(found), 30_000.0, rtol=2e-3)


def half(name, dtype):
    loaded = architecture(name)
    loaded.model.set_dtype(HALF[dtype][0])
    return replace(loaded, dtype=dtype)


def logits(rig, prompt, **options):
    """What the first token of an answer is sampled from, ``[1, vocab]``, and how much of the prompt was found."""
    forward, seen = rig.model.forward, []

    def watch(plan, tokens):
        seen.append(forward(plan, tokens))
        return seen[-1]

    rig.model.forward = watch
    _, started = rig.ask(prompt, max_tokens=1, **options)
    rig.model.forward = forward
    return next(one.rows for one in seen if one.sampled), started.cached_tokens


HITS = [
    *((False, name, dtype) for name in ("llama", "gemma3_text", "falcon_h1", "mamba2") for dtype in HALF),
    (True, "llama", "bfloat16"),
    (True, "gemma3_text", "float16"),
]


@pytest.mark.parametrize(("_way", "name", "dtype"), HITS, indirect=["_way"])
def test_a_hit_differs_from_a_cold_prompt_by_rounding_only(name, dtype):
    """By the part of a standard deviation of its logits that docs/batching.md promises."""
    rig, prompt = PagedRig(half(name, dtype), step_tokens=24), words(5, 90)
    cold, nothing = logits(rig, prompt)
    hit, cached = logits(rig, prompt)
    assert (nothing, cached > 0) == (0, True)
    assert difference(cold, hit) <= ROUNDING[dtype]
