"""Six turns of an agent on real MLX: what was there before the new messages is found, and the tokens are those of a cold prompt."""

from functools import cache

import pytest

from tests.worker.runner_rig import PagedRig, architecture, plain, words

BLOCK = 4
OPENING = [241, 242, 243, 244, 245]  # what a template opens an answer with; of it the history keeps KEPT
KEPT = 2


@pytest.fixture(scope="module")
def made():
    return cache(architecture)


@pytest.mark.parametrize(("name", "retells"), [("llama", False), ("qwen3_next", True), ("qwen3_next", False), ("jamba", True)])
def test_six_turns_beside_another_long_prompt(made, name, retells):
    """Told again in other words or as it was said: it is snapshots of states that this matters to."""
    loaded = made(name)
    rig = PagedRig(loaded, block_size=BLOCK, arena_blocks=512, max_arenas=1, snapshots=14, step_tokens=16)
    said, before = words(1, 60), 0
    rig.add("long", words(99, 240), max_tokens=1)
    for turn in range(6):
        said = said + words(turn + 7, 9)
        rig.add(str(turn), said + OPENING, max_tokens=6)
        while str(turn) not in rig.ended:
            rig.step()
        assert rig.started[str(turn)].cached_tokens >= before - BLOCK
        answer = rig.tokens[str(turn)]
        before = len(said) + (KEPT if retells else len(OPENING) + len(answer) - 1)
        last = said + OPENING
        said = said + (OPENING[:KEPT] + words(turn + 50, 4) if retells else OPENING + answer)
    assert answer == plain(loaded, last, 6, said=answer)
    rig.run()
    assert rig.tokens["long"] == plain(loaded, words(99, 240), 1, said=rig.tokens["long"])
