"""An engine under restraint: large prompts wait before the runner, and the device's memory is held to less."""

from mlxd.errors import MemoryPressureError
from mlxd.types import FinishReason, ResolvedLimits, Restraint
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Failed, Started
from mlxd.worker.engine import engine as engines
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import Ended
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import StepReport
from tests.unit.worker_engine.test_admission import request

LIMITS = ResolvedLimits(cache_bytes=1000)


class Runner:
    """Ends each request at the step behind its coming."""

    capacity = 8

    def __init__(self):
        self.had, self.running, self.cached = [], [], 0

    def add(self, one):
        self.had.append(one.id)
        self.running.append(one.id)

    def abort(self, request_id):
        if request_id in self.running:
            self.running.remove(request_id)

    def uncached(self, one):
        return len(one.tokens) - self.cached

    def step(self):
        names, self.running = self.running, []
        started = [Started(id=name, prompt_tokens=1, cached_tokens=0, cache=None) for name in names]
        return StepReport(started=started, ended=dict.fromkeys(names, FinishReason.STOP))

    @property
    def is_idle(self):
        return not self.running

    @property
    def rest(self):
        return None if self.is_idle else 0.0

    def reconfigure(self, limits): ...

    def memory(self): ...

    def cache(self): ...


class Device:
    def __init__(self):
        self.held_to, self.tidied = [], []

    def hold_to(self, limits):
        self.held_to.append(limits.restraint)

    def tidy(self, seconds):
        self.tidied.append(seconds)


class Rig:
    def __init__(self):
        self.runner, self.device, self.events = Runner(), Device(), []
        self.queue = RequestQueue(100, capacity=8)
        self.engine = Engine(self.runner, self.queue, lambda output: self.events.extend(output.events), self.device)

    def ask(self, name, tokens):
        self.queue.announce(name)
        self.queue.put(request(name, tokens))

    def restrain(self, **fields):
        self.engine.reconfigure(ResolvedLimits.of(LIMITS, 1000) if not fields else limits(Restraint(**fields)))

    def ended(self):
        return [event.id for event in self.events if isinstance(event, Ended)]


def limits(restraint):
    return ResolvedLimits(cache_bytes=1000, restraint=restraint)


def test_small_prompts_overtake_large_ones_which_go_on_when_it_is_lifted():
    rig = Rig()
    rig.restrain(largest_prompt=10, patience=1000.0)
    rig.ask("large", 11)
    rig.ask("small", 10)
    rig.engine.step()
    assert (rig.runner.had, rig.ended(), rig.queue.waiting) == (["small"], ["small"], 1)
    assert 0 < rig.engine._rest() <= 1000.0, "the engine wakes by itself when the patience is over"
    rig.restrain()
    rig.engine.step()
    assert (rig.ended(), rig.queue.waiting) == (["small", "large"], 0)
    assert rig.engine._rest() > 10  # for what lies idle by then


def test_what_is_cached_does_not_count():
    rig = Rig()
    rig.runner.cached = 5
    rig.restrain(largest_prompt=10, patience=1000.0)
    rig.ask("large", 15)
    rig.engine.step()
    assert rig.ended() == ["large"]


def test_without_patience_a_large_one_is_refused_with_a_reason():
    rig = Rig()
    rig.restrain(largest_prompt=10)
    rig.ask("large", 11)
    rig.engine.step()
    rig.engine.step()
    (refused,) = rig.events
    assert isinstance(refused, Failed)
    assert (refused.id, refused.error.code) == ("large", MemoryPressureError.code)
    assert isinstance(refused.error, ErrorInfo)
    assert (rig.runner.had, rig.queue.waiting) == ([], 0)


def test_a_client_that_goes_away_is_forgotten():
    rig = Rig()
    rig.restrain(largest_prompt=10, patience=1000.0)
    rig.ask("large", 11)
    rig.engine.step()
    rig.queue.withdraw("large")
    rig.restrain()
    rig.engine.step()
    assert (rig.events, rig.runner.had, rig.queue.waiting) == ([], [], 0)


def test_the_device_is_held_to_the_same_and_tidied_seldom_while_it_computes():
    rig = Rig()
    rig.restrain(buffer_share=0.25)
    assert rig.device.held_to == [Restraint(buffer_share=0.25)]
    rig.ask("a", 1)
    rig.engine.step()
    assert rig.device.tidied == [engines._TIDY_IDLE]
    rig.runner.step = StepReport
    rig.ask("b", 1)
    rig.engine.step()
    assert rig.device.tidied == [engines._TIDY_IDLE, engines._TIDY_BUSY]
