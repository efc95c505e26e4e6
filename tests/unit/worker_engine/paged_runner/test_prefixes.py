"""Beginnings that prompts share, of models with and without recurrent state."""

import pytest

from mlxd.types import CacheOutcome
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig


def test_ten_at_once_with_a_shared_beginning_compute_it_once():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=32)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=3)
    rig.run()
    assert rig.executor.computed < len(system) + 10 * 5
    assert [rig.started[str(number)].cache for number in range(10)] == [CacheOutcome.MISS] + [CacheOutcome.HIT] * 9
    assert rig.all_right(*rig.requests)


def test_whoever_waits_for_a_prefix_goes_on_when_the_one_computing_it_is_aborted():
    rig = Rig(step_tokens=4)
    rig.add("first", range(1, 41))
    rig.step()
    rig.add("second", [*range(1, 41), 7])
    rig.step()
    rig.runner.abort("first")
    rig.run()
    assert "first" not in rig.ended
    assert rig.tokens["second"] == rig.expected("second")


# ---- models with recurrent state ----


def test_a_recurrent_model_reuses_a_prompt_up_to_its_deepest_snapshot():
    rig = Rig(snapshots=16)
    prompt = list(range(1, 31))
    rig.add("a", prompt, max_tokens=3)
    rig.run()
    before = rig.executor.computed
    rig.add("b", [*prompt, 99], max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens == 28
    assert rig.executor.computed - before <= 6
    assert rig.all_right("a", "b")


@pytest.mark.parametrize("lasting", range(18, 31))
@pytest.mark.parametrize("step_tokens", [5, 16, 32])
def test_a_recurrent_model_s_next_turn_begins_where_its_prompt_is_another_one(lasting, step_tokens):
    rig = Rig(snapshots=16, step_tokens=step_tokens)
    prompt = list(range(1, 31))
    rig.add("a", prompt, max_tokens=3, lasting=lasting)
    rig.run()
    rig.add("b", [*prompt[:lasting], *range(50, 60)], max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens == lasting // BLOCK * BLOCK
    assert rig.all_right("a", "b")


def test_a_recurrent_model_s_next_turn_begins_after_the_answer():
    rig = Rig(snapshots=16)
    rig.add("a", list(range(1, 12)), max_tokens=14)
    rig.run()
    history = [*range(1, 12), *rig.tokens["a"]]
    rig.add("b", [*history, 99, 98], max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens == 24
    assert rig.all_right("a", "b")


def test_ten_at_once_with_a_shared_beginning_reuse_it_in_a_recurrent_model_too():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=16, snapshots=16)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=3)
    rig.run()
    assert rig.executor.computed <= len(system) + 10 * 5
    assert rig.all_right(*rig.requests)
