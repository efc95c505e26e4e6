"""A device that takes time and computes nothing: what steps cost on it is known, so a budget can be held against it."""

import random
from dataclasses import dataclass, field, replace

from mlxd.types import Limits
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.engine.step_cost import StepShape


@dataclass
class SimulatedDevice:
    """Seconds per call, decode row, prompt (of no tokens yet), prompt token and guess; ``noise`` is the deviation of their logarithm."""

    call: float
    row: float
    prompt: float
    token: float
    noise: float = 0.1
    guess: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - reproducible on purpose

    def seconds(self, shape):
        streams = self.row * shape.decode_rows + self.guess * shape.guesses
        return self.call + streams + self.prompt * shape.prompts + self.token * shape.prefill_tokens

    def alone(self, rows):
        return self.seconds(StepShape(decode_rows=rows))

    def times(self, factor):
        changed = {part: getattr(self, part) * factor for part in ("call", "row", "prompt", "token", "guess")}
        return replace(self, **changed)

    def run(self, budget, shape):
        seconds = self.seconds(shape)
        budget.observe(seconds * self.chance.lognormvariate(0, self.noise), shape)
        return seconds


@dataclass
class Served:
    """What one step beside streams took, without noise, and what of it was for prompts."""

    tokens: int
    seconds: float
    for_prompts: float


def known(device, *, largest=2048, rows=1):
    """A budget that has seen a warm-up and a while of streams alone."""
    budget = StepBudget(largest=largest)
    device.run(budget, StepShape(prompts=1, prefill_tokens=2))
    for _ in range(20):
        device.run(budget, StepShape(decode_rows=rows))
    return budget


def serve(device, budget, *, rows, steps, target=0.2):
    """Steps beside ``rows`` streams while a prompt never ends."""
    served = []
    for _ in range(steps):
        tokens = budget.beside(Limits(target_itl=target), decode_rows=rows)
        seconds = device.run(budget, StepShape(decode_rows=rows, prompts=int(tokens > 0), prefill_tokens=tokens))
        served.append(Served(tokens, seconds, seconds - device.alone(rows)))
    return served


def share(served):
    return sum(step.for_prompts for step in served) / sum(step.seconds for step in served)


def longest(served):
    return max(step.seconds for step in served)
