"""Short prompts past long ones, and places given back, on real MLX: whoever goes first, the tokens are those each gets alone."""

import pytest

from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from tests.worker.runner_rig import NEVER_ENDS, ROOT, PagedRig, alone, architecture, plain, words


@pytest.fixture(scope="module", params=["llama", "qwen3_next"])
def loaded(request):
    return architecture(request.param)


@pytest.mark.parametrize("ahead", [False, True])
def test_short_prompts_go_past_a_long_one(loaded, ahead):
    rig = PagedRig(loaded, ahead=ahead, arena_blocks=256)
    long = words(1, 200)
    rig.add("long", long, max_tokens=4)
    rig.step()
    prompts = {str(number): words(number + 2, 20) for number in range(3)}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=4)
    rig.run()
    assert [*rig.tokens] == ["0", "1", "2", "long"]
    assert rig.tokens == alone(loaded, prompts | {"long": long}, 4, said=rig.tokens)


@pytest.mark.parametrize("ahead", [False, True])
def test_an_answer_of_many_that_gave_its_place_to_another_request_goes_on_with_the_same_tokens(loaded, ahead):
    rig = PagedRig(loaded, ahead=ahead, max_sequences=3)
    prompt = EncodedPrompt(words(1, 21), 12, ROOT)
    sampling = SamplingParams(temperature=0.0, logit_bias=NEVER_ENDS)
    for number in range(4):
        rig.runner.add(EngineRequest(f"choice {number}", prompt, sampling, parent="choices"))
    for _ in range(6):
        rig.step()
    rig.add("small", words(2, 9), max_tokens=3)
    rig.run()
    assert rig.preemptions == 1
    assert next(iter(rig.ended)) == "small"
    assert rig.tokens.pop("small") == plain(loaded, words(2, 9), 3)
    assert set(map(tuple, rig.tokens.values())) == {tuple(plain(loaded, prompt.tokens, 12))}
    assert len(rig.tokens) == 4
