"""Layers that see a window keep only its blocks, and everybody's tokens are those of the plain model, over contexts many windows long."""

from functools import cache

import mlx.core as mx
import pytest

from tests.worker import runner_rig
from tests.worker.runner_rig import PagedRig, architecture, words
from tests.worker.test_speculation import Told

BLOCK = 4
WINDOW = 8  # of all of these
MODELS = ["gemma3_text", "gpt_oss", "exaone4", "gemma4_text", "recurrent_gemma", "baichuan_m1"]
SYSTEM = words(9, 70)
COUNT = 12


@pytest.fixture(scope="module")
def made():
    return cache(architecture)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request, made):
    return made(request.param)


KNOWN = {}


def plain(loaded, prompt, said=()):
    return alone(loaded, {"it": prompt}, {"it": said})["it"]


def alone(loaded, prompts, said):
    keys = {name: (id(loaded), tuple(prompt)) for name, prompt in prompts.items()}
    asked = {name: prompt for name, prompt in prompts.items() if keys[name] not in KNOWN}
    found = runner_rig.alone(loaded, asked, COUNT, said)
    KNOWN.update({keys[name]: tokens for name, tokens in found.items()})
    return {name: KNOWN[key] for name, key in keys.items()}


PROMPTS = {"long": words(1, 130), "system": [*SYSTEM, *words(2, 20)], "same": [*SYSTEM, *words(3, 5)], "short": words(4, 3)}


def serve(rig, prompts=PROMPTS):
    """All in company, joining one after the other; then those again that the cache has something of."""
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=COUNT)
        rig.step()
    rig.run()


def check(rig, loaded, prompts=PROMPTS):
    assert rig.failed == {}
    assert {name: rig.tokens[name] for name in prompts} == alone(loaded, prompts, rig.tokens)


@pytest.mark.parametrize(("name", "ahead"), [*((name, True) for name in MODELS), ("gemma3_text", False), ("recurrent_gemma", False)])
def test_in_company_and_again_they_say_what_they_say_alone(made, name, ahead):
    """A step at a time one of each kind: it is the executor's affair, not a model's."""
    loaded = made(name)
    rig = PagedRig(loaded, ahead=ahead)
    serve(rig)
    check(rig, loaded)
    assert rig.started["same"].cached_tokens == 68
    again = {f"{name} again": prompt for name, prompt in PROMPTS.items()}
    turn = [*PROMPTS["long"], *rig.tokens["long"]]
    serve(rig, again)
    check(rig, loaded, again)
    assert rig.started["long again"].cached_tokens == 128
    rig.ask(turn, "turn", max_tokens=COUNT)
    assert rig.tokens["turn"] == plain(loaded, turn, rig.tokens["turn"])
    assert rig.started["turn"].cached_tokens >= 134
    assert all(group.pool.counts().used == 0 for group in rig.manager.groups)


def test_a_window_s_blocks_are_few(made):
    """Of a sequence of 130 tokens, 120 of them its windows do not show."""
    rig = PagedRig(made("gemma3_text"), step_tokens=24)
    rig.add("long", PROMPTS["long"], max_tokens=COUNT)
    used, windowed = [], []
    while not rig.runner.is_idle:
        rig.step()
        used.append(rig.manager.counts().used)
        windowed.append(rig.manager.windows[0].pool.counts().used)
    assert max(used) >= (130 + COUNT) // BLOCK
    assert max(windowed) <= (WINDOW + 24) // BLOCK + 2
    assert max(windowed[8:]) <= WINDOW // BLOCK + 4


@pytest.mark.parametrize("name", ["gemma3_text", "gpt_oss", "recurrent_gemma"])
def test_with_little_room_in_windows_prompts_are_computed_in_small_parts(made, name):
    loaded = made(name)
    rig = PagedRig(loaded, window_blocks=5, max_arenas=2, arena_blocks=200, step_tokens=64)
    serve(rig)
    check(rig, loaded)
    assert rig.manager.windows[0].pool.counts().total <= 10


@pytest.mark.parametrize("name", ["gemma3_text", "gpt_oss"])
@pytest.mark.parametrize("ahead", [False, True])
def test_guesses_are_taken_back_within_windows(made, name, ahead):
    loaded = made(name)
    answers = {name: plain(loaded, prompt) for name, prompt in PROMPTS.items()}
    rig = PagedRig(loaded, ahead=ahead, speculation=Told(answers, seed=3), window_blocks=16)
    serve(rig)
    check(rig, loaded)
    assert sum(report.drafts for report in rig.reports) > 30


@pytest.mark.parametrize("name", ["gemma3_text", "gpt_oss", "falcon_h1"])
def test_preempted_ones_resume(made, name):
    loaded = made(name)
    rig = PagedRig(loaded, arena_blocks=20, max_arenas=1, window_blocks=20, step_tokens=64)
    prompts = {str(number): words(20 + number, 20) for number in range(4)}
    serve(rig, prompts)
    check(rig, loaded, prompts)
    assert rig.preemptions > 0


@pytest.mark.parametrize("name", ["gemma3_text", "gpt_oss"])
def test_a_long_prompt_gets_what_windows_do_not_need_and_many_short_ones_get_it_back(made, name):
    loaded = made(name)
    rig = PagedRig(loaded, arena_blocks=8, max_arenas=12, divided=True, step_tokens=64)
    long = {"long": words(1, 440)}
    serve(rig, long)
    check(rig, loaded, long)
    assert rig.manager.pool.capacity > 96
    short = {str(number): words(number + 5, 9) for number in range(9)}
    serve(rig, short)
    check(rig, loaded, short)
    assert rig.preemptions == 0


def test_what_is_no_number_in_a_window_is_found_by_nobody(made):
    loaded = made("gemma3_text")
    rig = PagedRig(loaded)
    rig.ask(PROMPTS["long"], "first", max_tokens=COUNT)
    chain = rig.manager.groups[1].index
    for block in list(chain._key):
        slots = rig.model.window_geometries[0].slots(block)
        for layer in rig.model.layers:
            if layer.group:
                tensors = layer.store.lend([slots.arena])
                for tensor in tensors:
                    tensor[:, :, slots.start : slots.stop] = mx.nan
                layer.store.give_back([slots.arena], iter(tensors))
    rig.add("bad", PROMPTS["long"], max_tokens=COUNT)
    rig.run()
    assert "bad" in rig.failed
    rig.ask(PROMPTS["long"], "good", max_tokens=COUNT)
    assert rig.tokens["good"] == plain(loaded, PROMPTS["long"], rig.tokens["good"])
