"""Requests with pictures through the runner that a model gets: what they say is what transformers says, in company and alone."""

import pytest

from mlxd.types import SamplingParams
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.runtime.choose import choose_runner
from tests.support.seen_prompts import case_names, loaded_model, seen_prompt
from tests.support.vision_references import architectures, references
from tests.support.wire_requests import resolved
from tests.worker.runner_rig import RunnerRig
from tests.worker.worker_link import load_message

TOKENS = 8
LIMITS = {"mode": "continuous", "cache_kind": "paged", "block_size": 8, "step_tokens": 24, "max_sequences": 8}


class SeeingRig(RunnerRig):
    """The runner of one architecture, as a worker chooses it."""

    def __init__(self, architecture, **limits):
        self.architecture = architecture
        order = load_message("org/tiny", **(LIMITS | limits))
        self.loaded = loaded_model(architecture)
        choice = choose_runner(order, resolved(order.limits), self.loaded)
        assert choice.name == "paged", choice.reason
        super().__init__(choice.runner)

    def see(self, case, name=None, prompt=None):
        prompt = prompt or seen_prompt(self.architecture, case, TOKENS)
        self.runner.add(EngineRequest(name or case, prompt, SamplingParams(temperature=0.0)))

    def is_right(self, name, case):
        """Whether it said what the reference says, up to a token that ends it."""
        greedy = references(self.architecture)[case].greedy
        ends = [at for at, token in enumerate(greedy) if token in self.loaded.end_tokens]
        expected = greedy[: ends[0]] if ends else greedy
        return [token for token in self.tokens.get(name, []) if token not in self.loaded.end_tokens] == expected

    @property
    def media(self):
        return self.runner.cache().media


@pytest.fixture(scope="module", params=architectures())
def rig(request):
    return SeeingRig(request.param)


def test_all_at_once_each_says_what_the_reference_says(rig):
    cases = case_names(rig.architecture)
    for at, case in enumerate(cases):
        rig.see(case)
        if at % 3:
            rig.step()
    rig.run()
    assert rig.failed == {}
    assert {case: rig.is_right(case, case) for case in cases} == dict.fromkeys(cases, True)


def test_and_again_from_the_cache_where_other_pictures_are_not_found(rig):
    rig.runner.evict_cached()
    encoded, before = rig.media.encoded, []
    for number, case in enumerate(("picture", "picture", "other_picture", "late_picture", "late_other_picture")):
        name = f"{case} {number}"
        rig.see(case, name)
        rig.run()
        assert rig.is_right(name, case), name
        shown = what_is_shown(seen_prompt(rig.architecture, case))
        assert rig.started[name].cached_tokens == max((alike(shown, other) for other in before), default=0) // 8 * 8, name
        before.append(shown)
    assert rig.media.encoded - encoded == 2  # of five requests there are two pictures


def what_is_shown(prompt):
    """Token by token: the token, or the picture that is in its place, and of what part of it. The last one is always computed."""
    shown = list(prompt.tokens[:-1])
    for span in prompt.media:
        shown[span.start : span.stop] = [(span.content, span.first + at) for at in range(len(span))]
    return shown


def alike(first, second):
    return next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), min(len(first), len(second)))
