"""Requests alone and together: their tokens, their end, their faults, their order."""

import msgspec

from mlxd.errors import CacheTooSmallError, GenerationError
from mlxd.types import FinishReason
from tests.unit.worker_engine.paged_runner.rig import Rig


def test_a_request_gets_its_tokens_and_its_end():
    rig = Rig()
    rig.add("a", range(1, 8))
    rig.run()
    assert rig.tokens["a"] == rig.expected("a")
    assert rig.ended["a"] is FinishReason.LENGTH
    assert rig.manager.counts().used == 0


def test_an_end_token_ends_it():
    rig = Rig(ends_after=9)
    rig.add("a", range(1, 8), max_tokens=50)
    rig.run()
    assert rig.tokens["a"][-1] == 0
    assert rig.ended["a"] is FinishReason.STOP


def test_a_long_prompt_is_computed_in_chunks_beside_streams_that_go_on():
    rig = Rig(step_tokens=8)
    rig.add("stream", [1, 2], max_tokens=40)
    for _ in range(4):
        rig.step()
    rig.add("long", range(1, 60), max_tokens=1)
    before = len(rig.tokens["stream"])
    steps = 0
    while "long" not in rig.ended:
        rig.step()
        steps += 1
    assert steps >= 59 // 8
    assert len(rig.tokens["stream"]) - before >= steps - 2
    assert max(report.tokens for report in rig.reports) <= 8


def test_the_budget_is_never_exceeded_by_more_than_the_decode_rows():
    rig = Rig(step_tokens=6)
    for number in range(5):
        rig.add(str(number), range(number, number + 20))
    rig.run()
    assert max(report.tokens for report in rig.reports) <= 6


def test_what_can_never_fit_is_refused_at_once():
    rig = Rig(blocks=3)
    rig.add("a", range(1, 50))
    rig.add("b", range(1, 5))
    rig.run()
    assert isinstance(rig.failed["a"], CacheTooSmallError)
    assert rig.tokens["b"] == rig.expected("b")


def test_a_failing_step_ends_its_requests_with_an_error_and_the_next_ones_run():
    rig = Rig(fail_at={3})
    rig.add("a", range(1, 8), max_tokens=20)
    for _ in range(4):
        rig.step()
    assert isinstance(rig.failed["a"], GenerationError)
    rig.add("b", range(1, 8))
    rig.run()
    assert rig.tokens["b"] == rig.expected("b")
    assert rig.manager.counts().used == 0


def test_max_sequences_bounds_the_batch():
    rig = Rig(max_sequences=2, step_tokens=64)
    for number in range(6):
        rig.add(str(number), [number, 1, 2])
    rig.run()
    assert max(report.rows for report in rig.reports) == 2
    assert len(rig.ended) == 6


def test_a_fault_of_one_row_ends_that_row_only():
    rig = Rig()
    for name in "abc":
        rig.add(name, [ord(name), 1, 2], max_tokens=8)
    for _ in range(3):
        rig.step()
    rig.executor.faulty = {"b"}
    rig.run()
    assert isinstance(rig.failed["b"], GenerationError)
    assert rig.all_right("a", "c")


def test_after_a_fault_nothing_that_was_cached_is_used():
    rig = Rig(fail_at={9})
    rig.add("a", range(1, 30), max_tokens=1)
    rig.run()
    rig.add("b", range(1, 30), max_tokens=30)
    rig.run()
    assert "b" in rig.failed
    rig.add("c", range(1, 30), max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens > 0
    assert rig.started["c"].cached_tokens == 0
    assert rig.all_right("a", "c")


def test_with_equal_priority_the_first_to_arrive_is_the_first_to_run():
    rig = Rig(max_sequences=1)
    for arrived, name in ((3, "c"), (1, "a"), (2, "b")):
        rig.add(name, [ord(name), 1], arrived=arrived)
    rig.run()
    assert list(rig.started) == ["a", "b", "c"]


def test_a_lower_number_goes_first_until_the_others_have_waited_long_enough():
    rig = Rig(max_sequences=1)
    ageing = rig.limits.priority_ageing
    rig.add("patient", [1, 1], arrived=0.0)
    rig.add("urgent", [2, 1], arrived=ageing - 1, priority=-1)
    rig.add("urgent too late", [3, 1], arrived=ageing + 1, priority=-1)
    rig.add("in no hurry", [4, 1], arrived=-ageing + 1, priority=1)
    rig.run()
    assert list(rig.started) == ["urgent", "patient", "urgent too late", "in no hurry"]


def test_the_budget_for_prompts_is_spent_by_priority_too():
    rig = Rig(step_tokens=8, max_sequences=2)
    rig.add("slow", range(1, 60), max_tokens=1)
    rig.step()
    rig.add("urgent", range(100, 140), max_tokens=1, priority=-1)
    rig.run()
    assert list(rig.ended) == ["urgent", "slow"]


def test_who_would_go_last_is_preempted_first():
    rig = Rig(blocks=10, step_tokens=64)
    rig.add("important", [7, *range(1, 8)], max_tokens=20, priority=-1)
    rig.add("one", [8, *range(1, 8)], max_tokens=20)
    rig.add("two", [9, *range(1, 8)], max_tokens=20)
    rig.run()
    assert rig.preemptions > 0
    assert next(iter(rig.ended)) == "important"
    assert rig.all_right("important", "one", "two")


def test_limits_change_between_steps():
    rig = Rig(max_sequences=1, step_tokens=4)
    for number in range(3):
        rig.add(str(number), range(number * 100 + 1, number * 100 + 30), max_tokens=4)
    rig.step()
    assert rig.runner.capacity == 1
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, max_sequences=3, step_tokens=64))
    rig.step()
    rig.step()
    assert rig.reports[-1].rows == 3
    assert rig.runner.capacity == 3
    rig.run()
    assert rig.all_right("0", "1", "2")
