"""Compiled steps over keys and values of 8 bits: arenas of levels and of scales are their inputs and outputs, and written in place."""

import mlx.core as mx
import pytest

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.regions import Regions
from tests.worker.compiled.steps import GATHER
from tests.worker.quantized_models import alone, model
from tests.worker.runner_rig import PagedRig, words

pytestmark = pytest.mark.usefixtures("traced", "any_loss")
SYSTEM = words(1, 44)


@pytest.fixture(params=["llama", "gemma3_text", "gpt_oss"])
def rig(request):
    made = PagedRig(model(request.param), kv="int8")
    made.name = request.param
    made.model.ways.regions = GATHER
    made.model.compile()
    yield made
    made.model.compiled, made.model.ways.regions = None, Regions(AttentionWay.ROWS)


def test_answers_in_company_are_those_alone(rig):
    prompts = {request: bytes([*SYSTEM, *words(ord(request), 5)]) for request in "abcd"}
    for request, prompt in prompts.items():
        rig.add(request, prompt)
    rig.run()
    steps, rig.model.compiled = rig.model.compiled, None
    assert steps.trouble is None
    assert steps.traced
    assert rig.tokens == {request: alone(rig.name, prompt) for request, prompt in prompts.items()}


def test_an_arena_is_written_in_place():
    rig = PagedRig(model("llama"), kv="int8", arena_blocks=16384, max_arenas=1, spare=4 * 16384)
    rig.model.ways.regions = GATHER
    rig.model.compile()
    try:
        rig.add("a", bytes(SYSTEM), max_tokens=40)
        while len(rig.tokens.get("a", ())) < 8:
            rig.step()
        store = rig.model.stores[0]
        mx.clear_cache()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        for _ in range(4):
            rig.step()
        assert rig.model.compiled.trouble is None
        assert mx.get_peak_memory() - before < store.nbytes / 4
    finally:
        rig.model.compiled, rig.model.ways.regions = None, Regions(AttentionWay.ROWS)
