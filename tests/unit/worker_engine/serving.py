"""The scheduler on a device whose steps take known time: who waits for whom, and how long, without a clock."""

import random

from mlxd.types import Limits, SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.executor import StepResult
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.kv.manager import Manager
from tests.unit.worker_engine.simulated_device import known

ROOT = CacheRoot(model="model")


class Serving:
    """Time passes only in steps. ``first`` and ``gaps`` are seconds, by request; ``before_first`` is what the device has computed of all
    prompts between a request's arrival and its first token.
    """

    def __init__(self, device, *, limits=None, blocks=16384, largest=512):
        self.device = device
        self.manager = Manager(block_size=16, arena_blocks=blocks, capacity=blocks)
        self.scheduler = Scheduler(self.manager, limits or Limits(), known(device, largest=largest), end_tokens=())
        self.now, self.computed = 0.0, 0
        self.arrived, self.last, self.first, self.gaps, self.before_first = {}, {}, {}, {}, {}
        self.prefilled, self.preempted, self.cached, self._computed_at = {}, [], {}, {}
        self.chance = random.Random(1)  # noqa: S311 - reproducible on purpose

    def words(self, count):
        return self.chance.choices(range(10**6), k=count)

    def ask(self, name, prompt, answer, **fields):
        """``prompt``: its tokens, or how many of them."""
        tokens = self.words(prompt) if isinstance(prompt, int) else list(prompt)
        self.send(name, EncodedPrompt(tokens, answer, ROOT), **fields)
        return tokens

    def send(self, name, prompt, **fields):
        self.arrived[name], self._computed_at[name], self.prefilled[name] = self.now, self.computed, 0
        self.scheduler.add(EngineRequest(name, prompt, SamplingParams(), arrived=self.now, **fields))

    def step(self):
        schedule = self.scheduler.schedule()
        plan = schedule.plan
        self.preempted += [sequence.id for sequence in schedule.preempted]
        seconds = self.device.seconds(plan.shape)
        self.now += seconds
        self.computed += plan.prefill_tokens
        for chunk in plan.chunks:
            self.prefilled[chunk.sequence] += chunk.count if chunk.sequence not in self.first else 0
        sampled = {chunk.sequence: (SampledToken(1),) for chunk in plan.chunks if chunk.samples}
        report = self.scheduler.update(schedule, StepResult(plan, sampled, {}), seconds)
        self.cached |= {one.id: one.cached_tokens for one in report.started}
        for one in report.sampled:
            if one.id in self.last:
                self.gaps.setdefault(one.id, []).append(self.now - self.last[one.id])
            else:
                self.first[one.id] = self.now - self.arrived[one.id]
                self.before_first[one.id] = self.computed - self._computed_at[one.id]
            self.last[one.id] = self.now
        return plan

    def until(self, condition):
        """Steps until ``condition()``; it fails where nothing is left to do before."""
        while not condition():
            assert not self.scheduler.is_idle
            self.step()

    def until_idle(self):
        while not self.scheduler.is_idle:
            self.step()
