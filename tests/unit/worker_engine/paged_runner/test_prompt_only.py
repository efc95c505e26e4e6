"""Requests of which the prompt counts: its log-probabilities, or only that it is computed."""

import pytest

from mlxd.types import CacheOutcome, FinishReason, Stopping
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig
from tests.unit.worker_engine.simulated_executor import prompt_score

SCORED = {"prompt_logprobs": True}


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("length", [1, 2, BLOCK, BLOCK + 1, 3 * BLOCK + 1])
@pytest.mark.parametrize("snapshots", [None, 4])
def test_a_prompt_is_computed_for_those_who_come_later(ahead, length, snapshots):
    rig, prompt = Rig(ahead=ahead, snapshots=snapshots), [1] * length
    for name in ("first", "again"):
        rig.add(name, prompt, 0)
        rig.run()
    rig.add("then", prompt, 3)
    rig.run()
    assert [rig.ended[name] for name in ("first", "again")] == [FinishReason.LENGTH] * 2
    assert set(rig.tokens) == {"then"}
    assert rig.all_right("then")
    whole = (length - 1) // BLOCK * BLOCK
    assert [rig.started[name].cached_tokens for name in ("first", "again", "then")] == [0, whole, whole]
    assert rig.manager.counts().used == 0


@pytest.mark.parametrize("ahead", [False, True])
def test_scores_do_not_use_the_cache_and_others_use_what_they_compute(ahead):
    rig, prompt = Rig(ahead=ahead), [1, 2, 3] * 5
    rig.add("plain", prompt)
    rig.run()
    rig.add("scored", prompt, asks=SCORED)
    rig.add("beside", [*prompt, 2])
    rig.run()
    assert rig.started["scored"].cache is CacheOutcome.MISS
    assert rig.started["beside"].cached_tokens == 3 * BLOCK
    assert [token.logprob for token in rig.scored["scored"]] == [prompt_score(prompt, at) for at in range(1, len(prompt))]
    assert rig.all_right("plain", "scored", "beside")


def test_a_token_that_the_request_names_ends_it_and_the_model_s_own_need_not():
    rig = Rig(ends_after=12)
    rig.add("plain", [1, 2, 3], 20)
    rig.add("on", [1, 2, 3], 20, asks={"stopping": Stopping(ignore_end=True)})
    rig.run()
    last = rig.tokens["plain"][3]
    rig.add("named", [1, 2, 3], 20, asks={"stopping": Stopping(token_ids=[last])})
    rig.run()
    assert rig.ended == {"plain": FinishReason.STOP, "on": FinishReason.LENGTH, "named": FinishReason.STOP}
    assert len(rig.tokens["on"]) == 20
    assert rig.tokens["named"][-1] == last
    assert rig.all_right("plain", "on", "named")
    assert [event.is_end for report in rig.reports for event in report.sampled if event.id == "named"][-1]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("length", [3, BLOCK, 4 * BLOCK + 3])
def test_choices_of_one_prompt_compute_its_blocks_once(ahead, length):
    rig, prompt = Rig(ahead=ahead, step_tokens=64), list(range(1, length + 1))
    for choice in "abcd":
        rig.add(choice, prompt, 1)
    rig.run()
    assert rig.all_right(*"abcd")
    tail = length - (length - 1) // BLOCK * BLOCK
    assert rig.executor.computed == length + 3 * tail
