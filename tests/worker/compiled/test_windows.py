"""Rows gather what a window's own blocks hold, compiled or not."""

import pytest

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.regions import Regions
from tests.worker.runner_rig import PagedRig, alone, architecture, words

PROMPTS = {"long": words(1, 70), "other": words(2, 25)}


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", ["gemma3_text", "gpt_oss"])
def test_tokens_are_those_of_the_plain_model(name):
    loaded = architecture(name)
    rig = PagedRig(loaded, arena_blocks=16, max_arenas=8, window_blocks=10)
    rig.model.ways.regions = Regions(usual=AttentionWay.GATHER, most_copied=2**30)
    serve(rig, loaded, "")
    steps = rig.model.compile()
    serve(rig, loaded, " compiled")
    assert steps.trouble is None
    assert steps.traced > 1
    assert {layer.group for layer in rig.model.layers} == {0, 1}


def serve(rig, loaded, suffix):
    for prompt, tokens in PROMPTS.items():
        rig.add(prompt + suffix, tokens)
        rig.step()
    rig.run()
    rig.manager.evict_cached()
    said = {prompt: rig.tokens[prompt + suffix] for prompt in PROMPTS}
    assert said == alone(loaded, PROMPTS, said=said)
