"""Requests with more adapters than there is room for come and go at random, beside changes of orders: all end, each with its own text."""

import random

import pytest

from tests.support.adapter_files import write_mlx_lm
from tests.worker.adapters.adapted_rig import AdaptedRig, at_once, linear_shapes, merged, tiny
from tests.worker.runner_rig import alone, words
from tests.worker.test_speculation import looking_up

LAYERS = (("q_proj", "v_proj"), ("o_proj",), ("up_proj", "down_proj"), ("k_proj", "lm_head"))
PROMPTS = [words(1, 40), words(1, 44), words(2, 9)]
COUNT, REQUESTS, STEPS = 8, 30, 3000


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    directory, model = tmp_path_factory.mktemp("adapters"), tiny("llama").model
    sources = [write_mlx_lm(directory / f"{at}", linear_shapes(model, *ends), rank=3 + 2 * at, seed=at) for at, ends in enumerate(LAYERS)]
    rig = AdaptedRig(tiny("llama"))
    models = [tiny("llama"), *(merged(tiny("llama"), rig.fit(source)) for source in sources)]
    return sources, [alone(model, dict(enumerate(PROMPTS)), COUNT) for model in models]


@pytest.mark.parametrize(
    "options",
    [{"ahead": True}, {"arena_blocks": 8, "max_arenas": 2}, {"max_sequences": 2}, {"speculation": None}],
    ids=["ahead", "preempted", "few places", "guesses"],
)
def test_all_end(case, options):
    sources, expected = case
    chance, reads = random.Random(repr(options)), []  # noqa: S311 - a test's
    options = {**options, "speculation": looking_up()} if "speculation" in options else options
    rig = AdaptedRig(tiny("llama"), read=lambda adapter, arrive: reads.append((adapter, arrive)), **options)
    adapters = [None, *map(rig.fit, sources)]
    most = max(map(rig.store.bytes_of, adapters[1:]))
    rig.order(most)
    asked, gone = {}, set()
    for _ in range(STEPS):
        if len(asked) < REQUESTS and chance.random() < 0.5:
            which, prompt, name = chance.randrange(len(adapters)), chance.randrange(len(PROMPTS)), f"{len(asked)}"
            rig.add(name, PROMPTS[prompt], adapter=adapters[which], max_tokens=COUNT)
            asked[name] = expected[which][prompt]
        if asked and chance.random() < 0.05:
            gone.add(name := chance.choice(list(asked)))
            rig.runner.abort(name)
        if chance.random() < 0.05:
            rig.store.unload(chance.choice(adapters[1:]).identity)
        if chance.random() < 0.05:
            rig.order(chance.choice([most, 2 * most]))
        while reads and chance.random() < 0.4:
            at_once(*reads.pop())
        rig.step()
        if len(asked) == REQUESTS and rig.runner.is_idle:
            break
    assert rig.runner.is_idle, "somebody waits for ever"
    assert rig.failed == {}
    stayed = asked.keys() - gone
    assert {name: rig.tokens[name] for name in stayed} == {name: asked[name] for name in stayed}
    assert (rig.preemptions > 0) == ("arena_blocks" in options)
    assert sum(rig.store.counts_of(one).loads for one in adapters[1:]) > len(sources), "they had to go for each other"
