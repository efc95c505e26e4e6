"""Requests with pictures through the runner that a model gets: what they say is what transformers says, in company and alone."""

import pytest

from mlxd.errors import GenerationError
from tests.support.seeing_rig import SeeingRig
from tests.support.seen_prompts import case_names, seen_prompt
from tests.support.vision_references import architectures


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
    words = rig.loaded.model.language_model
    assert {getattr(words, name, None) for name in ("_rope_deltas", "_position_ids")} == {None}  # nothing is left for the next one


def test_and_again_from_the_cache_where_other_pictures_are_not_found(rig):
    rig.runner.evict_cached()
    encoded, before = rig.media.encoded, []
    for number, case in enumerate(("picture", "picture", "other_picture", "late_picture", "late_other_picture")):
        name = f"{case} {number}"
        rig.see(case, name, tokens=2)
        rig.run()
        assert rig.is_right(name, case, tokens=2), name
        shown = what_is_shown(seen_prompt(rig.architecture, case))
        assert rig.started[name].cached_tokens == max((alike(shown, other) for other in before), default=0) // 8 * 8, name
        before.append(shown)
    assert rig.media.encoded - encoded == 2  # of five requests there are two pictures


def test_a_picture_that_cannot_be_encoded_fails_those_who_show_it_and_nobody_else(rig, monkeypatch):
    rig.runner.evict_cached()
    encode, seen = type(rig.loaded.model.architecture).encode, []

    def falls(self, model, tensors, count):
        seen.append(count)
        if len(seen) == 1:
            raise GenerationError("the tower fell")
        return encode(self, model, tensors, count)

    monkeypatch.setattr(type(rig.loaded.model.architecture), "encode", falls)
    rig.see("picture", "falls")
    rig.see("late_picture", "falls, too")
    rig.see("late_other_picture", "other")
    rig.see("words", "of words")
    rig.run()
    assert str(rig.failed["falls"]) == "the tower fell"
    # One that came to need it later, for it waited for what both begin with, has it encoded anew.
    assert str(rig.failed.get("falls, too")) == "the tower fell" or rig.is_right("falls, too", "late_picture")
    assert rig.is_right("other", "late_other_picture")
    assert rig.is_right("of words", "words")
    rig.see("picture", "again")
    rig.run()
    assert rig.is_right("again", "picture")


def what_is_shown(prompt):
    """Token by token: the token, or the picture that is in its place, and of what part of it. The last one is always computed."""
    shown = list(prompt.tokens[:-1])
    for span in prompt.media:
        shown[span.start : span.stop] = [(span.content, span.first + at) for at in range(len(span))]
    return shown


def alike(first, second):
    return next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), min(len(first), len(second)))
