"""Models that see, with adapters: what is shown is encoded by the model's own tower, and what is said of it is the adapter's."""

import pytest

from mlxd.types import SamplingParams
from mlxd.worker.engine.adapters.store import AdapterOrders
from mlxd.worker.engine.request import EngineRequest
from tests.support.adapter_files import write_peft
from tests.support.seeing_rig import TOKENS, SeeingRig
from tests.support.seen_prompts import new_model, seen_prompt
from tests.support.vision_references import references
from tests.worker.adapters.adapted_rig import PLENTY, Everything, at_once, fitted, merge


@pytest.mark.parametrize("architecture", ["qwen2_vl", "gemma3"])
def test_each_says_what_its_merged_model_says(tmp_path, architecture):
    rig = SeeingRig(architecture, new_model(architecture))
    store = rig.runner.adapters
    store.read = at_once
    store.follow(AdapterOrders(PLENTY, known=Everything()))
    places = [place for place in store.places.all if not place.refusal and place.path.endswith("_proj")]
    shapes = {f"model.{place.path.removeprefix('model.')}": (place.inputs, place.outputs) for place in places}
    adapter = fitted(write_peft(tmp_path, shapes, rank=3, seed=3), store)
    cases = list(references(architecture))[:4]
    for case in cases:
        rig.see(case)
        prompt = seen_prompt(architecture, case, TOKENS).adapted(adapter.identity)
        rig.runner.add(EngineRequest(f"adapted {case}", prompt, SamplingParams(temperature=0.0), adapter=adapter))
    rig.run()
    other = new_model(architecture)
    merge(other.model.language_model, adapter)
    expected = SeeingRig(architecture, other)
    for case in cases:
        expected.see(case)
    expected.run()
    assert all(rig.is_right(case, case) for case in cases)
    assert {case: rig.tokens[f"adapted {case}"] for case in cases} == {case: expected.tokens[case] for case in cases}
    assert any(rig.tokens[f"adapted {case}"] != rig.tokens[case] for case in cases)
