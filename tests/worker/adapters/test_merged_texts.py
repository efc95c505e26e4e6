"""Rows of three adapters and of none in one batch: each says what the model says that has its adapter in the weights."""

import mlx.core as mx
import pytest
from mlx_lm.tuner.utils import load_adapters

from mlxd.worker.engine.adapters.stack_sizes import stacked_bytes
from tests.worker.adapters.adapted_rig import AdaptedRig, merged, three, tiny
from tests.worker.runner_rig import plain, words

MODELS = {
    "llama": {},
    "quantized": {"name": "llama", "bits": 8, "hidden_size": 64, "intermediate_size": 64},
    "biased": {"name": "qwen2"},
    "experts": {"name": "qwen3_moe"},
    "recurrent": {"name": "falcon_h1"},
}


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory):
    fields = {"name": request.param} | MODELS[request.param]
    loaded = tiny(**fields)
    experts = ("up_proj", "down_proj") if request.param == "experts" else ()
    rig = AdaptedRig(loaded, step_tokens=120)  # so many that rows are sorted by their experts
    sources = three(tmp_path_factory.mktemp("adapters"), tiny(**fields).model, experts=experts)
    return rig, [rig.fit(source) for source in sources], fields, sources


def test_each_says_what_its_merged_model_says(case):
    rig, adapters, fields, _ = case
    prompt = words(3, 30)
    asked = dict(zip(("plain", "peft", "dora", "base"), [*adapters, None], strict=True))
    for name, adapter in asked.items():
        rig.add(name, prompt, adapter=adapter)
    rig.run()
    assert rig.failed == {}
    models = {name: merged(tiny(**fields), adapter) if adapter else tiny(**fields) for name, adapter in asked.items()}
    expected = {name: plain(model, prompt, said=rig.tokens[name]) for name, model in models.items()}
    assert {name: rig.tokens[name] for name in asked} == expected
    assert len(set(map(tuple, expected.values()))) == 4
    assert max(report.rows for report in rig.reports) == 4
    assert rig.store.nbytes == stacked_bytes([adapter.layers for adapter in adapters], 4), "what is reckoned with is what they take"


@pytest.mark.parametrize("place", [0, 2], ids=["plain", "dora"])
def test_mlx_lm_itself_says_the_same(case, place):
    """By its own layers of adapters, of which its own format is."""
    rig, adapters, fields, sources = case
    own = tiny(**fields)
    load_adapters(own.model, str(sources[place]))
    tokens = mx.array(words(5, 24))[None]
    assert mx.allclose(own.model(tokens), merged(tiny(**fields), adapters[place]).model(tokens), atol=2e-3)
    rig.add(f"own {place}", words(4, 20), adapter=adapters[place])
    rig.run()
    said = rig.tokens[f"own {place}"]
    assert said == plain(own, words(4, 20), said=said)
