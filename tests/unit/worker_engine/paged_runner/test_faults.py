"""A fault at any line between admission and end, of engine, scheduler and cache: each request gets one answer, and nothing leaks."""

import logging

import pytest

from mlxd.errors import GenerationError
from mlxd.worker.engine import engine, paged_runner, plan, request_queue, runner, scheduler, sequence, waiting_line
from mlxd.worker.kv import block_chain, block_pool, block_table, free_extents, manager, prefix_index, state_snapshots
from tests.support.engine_stage import EngineStage
from tests.support.fault_injection import fault_at, passages, some_of
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig
from tests.unit.worker_engine.simulated_executor import next_token

ENGINE = [engine, paged_runner, plan, request_queue, runner, scheduler, sequence, waiting_line]
CACHE = [block_chain, block_pool, block_table, free_extents, manager, prefix_index, state_snapshots]

# Not between admission and end: what the I/O thread calls, what is looked at between two steps, and the frame around it all.
NOT_OF_A_REQUEST = {"announce", "put", "withdraw", "__init__", "waiting", "running", "capacity", "is_idle", "step", "arrivals", "commands"}
NAMES = ("early", "long", "twin", "gone", "late")
SYSTEM = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


def make(kind):
    """Rooms that preempt, and rooms with snapshots of state."""
    rig = Rig(blocks=14, max_sequences=4, ahead=kind != "in step", snapshots=8 if kind == "states" else None)
    return rig, EngineStage(rig.runner)


def play(stage):
    """Requests that share a beginning, wait, are preempted, are aborted, and end in different ways."""
    stage.add("early", [*SYSTEM, 7], max_tokens=1)
    stage.add("long", [*SYSTEM, 8, 8], max_tokens=14)
    stage.add("gone", [2, 2, 2, 2, 2, 2], max_tokens=30)
    stage.engine.step()
    stage.add("twin", [*SYSTEM, 8, 8], max_tokens=6)
    for _ in range(3):
        stage.engine.step()
    stage.queue.withdraw("gone")
    stage.add("late", [5] * 3 * BLOCK, max_tokens=12)
    stage.run()


def expected(prompt, count):
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count:
        tokens.append(next_token(tokens, 10**9))
    return tokens[len(prompt) :]


def check(rig, stage):
    for name in NAMES:
        assert len(stage.answers(name)) == 1 or name == "gone", (name, stage.events[name])
    stage.check_all_is_over()
    rig.manager.check_integrity()
    assert rig.manager.counts().used == 0
    assert not rig.manager._computing
    assert not rig.scheduler.running
    assert not rig.executor.tokens
    assert not rig.executor.states
    stage.add("after", [*SYSTEM, 8, 8, 9], max_tokens=5)
    stage.run()
    assert stage.tokens("after") == expected([*SYSTEM, 8, 8, 9], 5)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """Thousands of tracebacks would take most of the time."""
    caplog.set_level(logging.CRITICAL)


KINDS = ("ahead", "in step", "states")


ROOMS = {"engine": ENGINE, "cache": CACHE}


@pytest.mark.parametrize(("room", "kind"), [*(("engine", kind) for kind in KINDS), ("cache", "ahead"), ("cache", "states")])
def test_a_fault_at_any_line_leaves_no_request_without_an_answer_and_nothing_behind(room, kind):
    _, stage = make(kind)
    found = passages(ROOMS[room], lambda: play(stage), but=NOT_OF_A_REQUEST)
    assert len(found) > 150
    for passage in some_of(found):
        rig, stage = make(kind)
        with fault_at(passage) as struck:
            play(stage)
        assert struck, passage
        try:
            check(rig, stage)
        except AssertionError as error:
            raise AssertionError(f"after a fault at {passage}: {error}") from error


def test_the_scenario_does_all_it_should():
    rig, stage = make("ahead")
    play(stage)
    check(rig, stage)
    assert rig.scheduler.running == {}
    assert {name: len(stage.tokens(name)) for name in ("early", "long", "twin", "late")} == {"early": 1, "long": 14, "twin": 6, "late": 12}


def test_an_unexpected_fault_of_taking_in_ends_that_request_only(monkeypatch):
    rig, stage = make("ahead")
    add = rig.runner.add
    monkeypatch.setattr(rig.runner, "add", lambda request: 1 / 0 if request.id == "bad" else add(request))
    stage.add("bad", SYSTEM)
    stage.add("good", SYSTEM)
    stage.run()
    (answer,) = stage.answers("bad")
    assert answer.error.code == GenerationError.code
    assert len(stage.tokens("good")) == 4
