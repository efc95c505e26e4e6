"""Who waits for whom when many ask at once: the scheduler on a device whose steps take known time, and no clock."""

import random

from mlxd.types import Limits, SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.executor import StepResult
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.kv.manager import Manager
from tests.unit.worker_engine.simulated_device import SimulatedDevice, known

SLOW = SimulatedDevice(0.052, 0.009, 0.002, 0.003, noise=0.0)


class Serving:
    """Time passes only in steps. ``first`` and ``gaps`` are seconds, by request."""

    def __init__(self, device):
        self.device = device
        self.scheduler = Scheduler(
            Manager(block_size=16, arena_blocks=4096, max_arenas=4), Limits(), known(device, largest=512), end_tokens=()
        )
        self.now, self.arrived, self.last, self.first, self.gaps = 0.0, {}, {}, {}, {}
        self.chance = random.Random(1)  # noqa: S311 - reproducible on purpose

    def ask(self, name, prompt, answer):
        tokens = [self.chance.randrange(10**6) for _ in range(prompt)]
        self.arrived[name] = self.now
        encoded = EncodedPrompt(tokens, answer, CacheRoot(model="model"))
        self.scheduler.add(EngineRequest(name, encoded, SamplingParams(), arrived=self.now))

    def step(self):
        schedule = self.scheduler.schedule()
        plan = schedule.plan
        seconds = self.device.seconds(plan.shape)
        self.now += seconds
        sampled = {chunk.sequence: (SampledToken(1),) for chunk in plan.chunks if chunk.samples}
        report = self.scheduler.update(schedule, StepResult(plan, sampled, {}), seconds)
        for one in report.sampled:
            if one.id in self.last:
                self.gaps.setdefault(one.id, []).append(self.now - self.last[one.id])
            else:
                self.first[one.id] = self.now - self.arrived[one.id]
            self.last[one.id] = self.now
        return plan

    def until_idle(self):
        while not self.scheduler.is_idle:
            self.step()


def burst(users):
    """The first arrives a moment before the others, as in life."""
    serving = Serving(SLOW)
    serving.ask("0", 85, 48)
    serving.step()
    for user in range(1, users):
        serving.ask(str(user), 85, 48)
    serving.until_idle()
    return serving


def test_who_asks_together_begins_together():
    """Prompts one after the other take this long; streams that begin earlier do not double it."""
    prompts_alone = 16 * 85 * SLOW.token
    assert max(burst(16).first.values()) < 1.2 * prompts_alone


def test_only_the_first_tokens_of_a_burst_are_late():
    for gaps in burst(16).gaps.values():
        assert max(gaps[8:]) <= 0.2 + SLOW.alone(16)


def test_a_prompt_that_comes_later_disturbs_nobody_s_beginning():
    serving = Serving(SLOW)
    serving.ask("stream", 20, 60)
    serving.step()
    serving.step()
    serving.ask("long", 4000, 2)
    serving.until_idle()
    assert max(serving.gaps["stream"]) < 1.2 * (0.2 + SLOW.alone(2))


def test_a_settled_stream_is_not_disturbed_by_a_burst_behind_it():
    serving = Serving(SLOW)
    serving.ask("stream", 20, 100)
    for _ in range(20):
        serving.step()
    for user in range(8):
        serving.ask(str(user), 85, 8)
    serving.until_idle()
    assert max(serving.gaps["stream"]) < 1.2 * (0.2 + 1.2 * SLOW.alone(9))


def test_a_queue_of_long_prompts_is_no_burst_for_ever():
    """All came before the first stream was heard, but it is held up for its first tokens only."""
    serving = Serving(SLOW)
    serving.ask("stream", 20, 40)
    for user in range(6):
        serving.ask(str(user), 3000, 4)
    serving.until_idle()
    assert max(serving.gaps["stream"][9:]) < 1.2 * (0.2 + 1.2 * SLOW.alone(7))


def test_what_is_left_of_a_step_is_given_to_the_next_prompt_only_where_it_is_worth_it():
    serving = Serving(SLOW)
    for user in range(30):
        serving.ask(str(user), 85, 30)
    parts = []
    while not serving.scheduler.is_idle:
        parts += [chunk.count for chunk in serving.step().chunks if chunk.count > 1 or not chunk.start]
    assert sum(count < 8 for count in parts) <= len(parts) // 10
