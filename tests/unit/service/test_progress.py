"""When the daemon has ceased to look after its workers. Ten seconds pass between two looks."""

import dataclasses
import itertools

import msgspec
import pytest

from mlxd.config.schema import ModelTable
from mlxd.service.progress import Oversight
from mlxd.types import ModelState
from tests.support.statuses import HEARTBEAT, READY, model_status

LOOK = 10.0  # seconds
ALWAYS = 100  # looks


def table(hang_timeout):
    return ModelTable.model_validate({"source": "org/a", "worker": {"hang_timeout": hang_timeout}})


def serving(heartbeat=HEARTBEAT, *, pid=42, ready=READY, hang_timeout="5s"):
    made = model_status(state=ModelState.READY if ready else ModelState.LOADING, pid=pid, ready=ready, heartbeat=heartbeat)
    return dataclasses.replace(made, config=table(hang_timeout))


def beats(**fields):
    """Heartbeats without end: a constant, or an iterator, for each field."""
    while True:
        now = {name: next(value) if hasattr(value, "__next__") else value for name, value in fields.items()}
        yield msgspec.structs.replace(HEARTBEAT, **now)


def looks_until_neglected(statuses):
    """After how many looks the model is named; None: never."""
    oversight = Oversight()
    for look, status in enumerate(itertools.islice(statuses, ALWAYS)):
        if oversight.observe([status], LOOK):
            return look
    return None


def test_an_idle_worker_that_beats_is_fine():
    assert looks_until_neglected(serving(beat) for beat in beats(busy_seconds=0.0)) is None


def test_a_busy_worker_whose_steps_end_is_fine():
    assert looks_until_neglected(serving(beat) for beat in beats(busy_seconds=1.0, steps=itertools.count())) is None


def test_silence_is_left_to_the_supervisor_first():
    """Its hang_timeout is shorter than a loading worker may be silent: twice 60 s are allowed."""
    assert looks_until_neglected(itertools.repeat(serving())) == 13


def test_a_step_that_never_ends():
    assert looks_until_neglected(serving(beat) for beat in beats(busy_seconds=itertools.count(1.0, LOOK))) == 13


def test_a_longer_hang_timeout_is_respected():
    assert looks_until_neglected(itertools.repeat(serving(hang_timeout="200s"))) == 41


def test_a_load_may_compute_for_as_long_as_it_beats():
    assert looks_until_neglected(serving(beat, ready=None) for beat in beats(busy_seconds=1.0)) is None
    assert looks_until_neglected(itertools.repeat(serving(ready=None))) == 13
    assert looks_until_neglected(itertools.repeat(serving(None, ready=None))) == 13


@pytest.mark.parametrize("after", [{"pid": 43}, {"pid": None}], ids=["replaced", "gone"])
def test_a_worker_that_was_dealt_with_counts_no_more(after):
    oversight = Oversight()
    for _ in range(12):
        assert oversight.observe([serving()], LOOK) == []
    for _ in range(12):
        assert oversight.observe([serving(**after)], LOOK) == []
    assert oversight.observe([], LOOK) == []


def test_one_neglected_among_many_is_named_until_it_is_dealt_with():
    oversight, alive = Oversight(), beats(busy_seconds=0.0)
    stuck = dataclasses.replace(serving(), name="stuck")
    for _ in range(13):
        assert oversight.observe([serving(next(alive)), stuck], LOOK) == []
    assert oversight.observe([serving(next(alive)), stuck], LOOK) == ["stuck"]
    assert oversight.observe([serving(next(alive)), stuck], LOOK) == ["stuck"]
    assert oversight.observe([serving(next(alive))], LOOK) == []


def test_a_step_that_was_planned_to_take_long_is_no_neglect():
    long = looks_until_neglected(serving(beat, hang_timeout="60s") for beat in beats(busy_seconds=1.0, planned_seconds=40.0))
    assert long > looks_until_neglected(serving(beat, hang_timeout="60s") for beat in beats(busy_seconds=1.0))
