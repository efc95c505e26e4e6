"""A step that was planned to take long is no hang; one that never ends is, whatever was planned."""

import pytest

from mlxd.client.hang_watch import HangWatch, longest_step
from mlxd.types import Limits, MemoryFigures
from mlxd.wire.messages import Heartbeat, Ready

READY = Ready(
    runner="paged", runner_reason="", device="cpu", dtype="float32", context_length=1, vocab_size=1,
    weight_bytes=0, limits=Limits(), load_seconds=0, versions={},
)  # fmt: skip


def hung_after(planned, *, seconds=400):
    """Second by second inside one step, a heartbeat each; the verdict and when it came."""
    watch = HangWatch(hang_timeout=10, load_timeout=1000)
    watch.observe(READY)
    for second in range(1, seconds):
        watch.observe(Heartbeat(running=1, waiting=0, steps=3, busy_seconds=second, planned_seconds=planned, memory=MemoryFigures()))
        verdict = watch.tick(1, unread=0, taken=0)
        if verdict is not None:
            return second, verdict
    return None


@pytest.mark.parametrize("planned", [0.0, 0.1, 2.0, 20.0])
def test_a_step_may_take_hang_timeout_longer_than_planned_and_then_some(planned):
    second, verdict = hung_after(planned)
    assert second > 10 + planned
    assert second <= 12 + 3 * planned
    assert verdict.startswith("inside one step for")
    assert (f"planned to take {planned:g} s" in verdict) == (planned > 0)


def test_no_plan_is_believed_without_end():
    second, _ = hung_after(1e9)
    assert second <= 10 * 11 + 1


def test_a_longer_plan_allows_no_less():
    allowed = [longest_step(60.0, planned) for planned in (0.0, 0.5, 5.0, 50.0, 500.0)]
    assert allowed == sorted(allowed)
    assert allowed[0] == 60.0


def test_a_plan_that_is_over_allows_nothing_more():
    watch = HangWatch(hang_timeout=10, load_timeout=1000)
    watch.observe(READY)
    watch.observe(Heartbeat(running=1, waiting=0, steps=3, busy_seconds=1, planned_seconds=20, memory=MemoryFigures()))
    watch.observe(Heartbeat(running=1, waiting=0, steps=4, busy_seconds=1, planned_seconds=0.1, memory=MemoryFigures()))
    verdicts = []
    for second in range(2, 20):
        watch.observe(Heartbeat(running=1, waiting=0, steps=4, busy_seconds=second, planned_seconds=0.1, memory=MemoryFigures()))
        verdicts.append(watch.tick(1, unread=0, taken=0))
    assert any(verdicts)
