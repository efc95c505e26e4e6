"""The engine of a very slow machine under the daemon's watch, both with one clock that stands still: what is slow is left alone, and what
is stuck is not.
"""

import pytest

from mlxd.client.hang_watch import HangWatch
from mlxd.types import MemoryFigures
from mlxd.wire.messages import Heartbeat
from mlxd.worker.engine import engine, paged_runner
from tests.support.engine_stage import EngineStage
from tests.unit.client.test_hang_watch import READY
from tests.unit.worker_engine.paged_runner.rig import Rig

HANG_TIMEOUT = 5.0  # seconds
BEAT = 0.5
STUCK = 1e9


class HungError(Exception):
    """The daemon would end the worker now."""


class SlowMachine:
    """An engine whose steps take ``token`` seconds for each token; while they do, heartbeats reach the watch, and time its ticks."""

    def __init__(self, monkeypatch, token):
        self.token = token
        self.now = 0.0
        self.longest = 0.0
        self.watch = HangWatch(hang_timeout=HANG_TIMEOUT, load_timeout=1000)
        self.watch.observe(READY)
        monkeypatch.setattr(engine.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(paged_runner, "monotonic", lambda: self.now)
        self.rig = Rig(blocks=256, ahead=False, step_tokens=None)
        self.launch, self.rig.executor.run = self.rig.executor.run, self.run
        self.stage = EngineStage(self.rig.runner)

    def run(self, plan):
        self.compute(self.token * plan.rows)
        return self.launch(plan)

    def compute(self, seconds):
        self.longest = max(self.longest, seconds)
        end = self.now + seconds
        while self.now < end:
            self.now += min(BEAT, end - self.now)
            one = self.stage.engine
            beat = Heartbeat(
                running=1, waiting=0, steps=one.steps, busy_seconds=one.busy_seconds, planned_seconds=one.planned_seconds,
                memory=MemoryFigures(),
            )  # fmt: skip
            self.watch.observe(beat)
            if verdict := self.watch.tick(BEAT, unread=0, taken=0):
                raise HungError(verdict)

    def warm_up(self):
        self.stage.add("warm-up", [0, 0], max_tokens=2)
        self.stage.run()


@pytest.fixture
def machine(monkeypatch):
    return lambda token: SlowMachine(monkeypatch, token)


@pytest.mark.parametrize("token", [0.001, 0.25, 1.0])
def test_a_machine_that_is_slow_is_no_hang_however_long_its_steps(machine, token):
    slow = machine(token)
    slow.warm_up()
    slow.stage.add("long", range(1, 200), max_tokens=3)
    slow.stage.add("short", range(500, 510), max_tokens=6)
    slow.stage.run()
    assert len(slow.stage.tokens("long")) == 3
    assert len(slow.stage.tokens("short")) == 6
    assert (slow.longest > HANG_TIMEOUT) == (token == 1.0)


@pytest.mark.parametrize("token", [0.001, 1.0])
def test_a_machine_that_is_stuck_is_a_hang_whatever_its_pace_was(machine, token):
    slow = machine(token)
    slow.warm_up()
    slow.stage.add("long", range(1, 200), max_tokens=3)
    slow.stage.engine.step()
    slow.token = STUCK
    slow.stage.engine.step()
    [failed] = slow.stage.answers("long")
    assert "HungError: inside one step for" in failed.error.message
    assert slow.now < 100 + 12 * HANG_TIMEOUT
