"""What an idle model gives back: its arenas are as large as what they hold, which is found again and says what it said."""

import pytest

from tests.worker.quantized_models import model
from tests.worker.runner_rig import PagedRig, architecture, plain, words

BLOCK = 4

pytestmark = pytest.mark.usefixtures("any_loss")


@pytest.mark.parametrize(("name", "kv"), [("llama", "model"), ("llama", "int8"), ("gemma3_text", "model"), ("falcon_h1", "model")])
def test_arenas_shrink_to_what_they_hold_which_is_found_again(name, kv):
    loaded = model(name) if kv == "int8" else architecture(name)
    rig = PagedRig(loaded, block_size=BLOCK, arena_blocks=64, max_arenas=4, kv=kv)
    prompts = {str(number): words(number, 40 + number) for number in range(4)}
    said = {name: rig.ask(prompt, name, max_tokens=6)[0] for name, prompt in prompts.items()}
    for group in rig.manager.groups:
        group.pool.evict_cached(group.pool.counts().cached // 2)
    before = rig.runner.memory().kv
    rig.runner.give_back()
    rig.check()
    for group in rig.manager.groups:
        counts = group.pool.counts()
        assert counts.total == counts.cached
    assert rig.runner.memory().kv < 0.75 * before
    tokens, started = rig.ask(prompts["3"], "again", max_tokens=6)
    assert started.cached_tokens >= 40
    assert tokens == said["3"]
    assert kv == "int8" or said["3"] == plain(loaded, prompts["3"], 6)
