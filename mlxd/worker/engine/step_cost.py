"""What a step costs, learned from the steps that were. It is pure, and has no clock.

A Kalman filter (1960) whose figures wander; with forgetting, recursive least squares is the same. It tells them apart as soon as steps
differ, also where hardly a step is without a prompt, and follows a device that slows down or contexts that grow.
"""

import math
from dataclasses import dataclass

_FIRST = (0.02, 0.002, 0.002, 0.005, 0.001)  # seconds, before anything was observed
_DOUBT = (0.2, 0.02, 0.1, 0.01, 0.01)  # seconds, standard deviations: how far off that may be
_WANDERING = 0.2  # how far a figure may move from step to step, as a share of it
_HIDDEN = 0.03  # the same for what streams cost, while prompts are in the step: it is these that a longer context makes dearer
_NOISE = 0.3  # how far a step may be from what it should take, as a share of that
_FURTHEST = 3.0  # standard deviations; a step that is further off counts as so far off: it may be another process's fault
_LEAST_SHARE = 0.02  # of a step's time: a figure is never so small that it could not grow again


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """What a step is made of: streams that get a token, so many tokens of so many prompts, and guesses of what streams go on with."""

    decode_rows: int = 0
    prompts: int = 0
    prefill_tokens: int = 0
    guesses: int = 0

    @property
    def counts(self) -> tuple[float, ...]:
        """Returns how often each figure of the cost is in it: the call itself, rows, prompts, tokens of prompts, guesses."""
        return (1.0, float(self.decode_rows), float(self.prompts), float(self.prefill_tokens), float(self.guesses))


class StepCost:
    """The seconds of a step: ``call + row * decode rows + prompt * prompts + token * prompt tokens + guess * guesses``."""

    def __init__(self) -> None:
        self._figures = list(_FIRST)
        self._covariance = [[doubt**2 if row == column else 0.0 for column in range(len(_DOUBT))] for row, doubt in enumerate(_DOUBT)]

    @property
    def prompt(self) -> float:
        """Returns the seconds a prompt adds to a step before its first token does: attention over what it has already, layer by layer."""
        return self._figures[2]

    @property
    def token(self) -> float:
        """Returns the seconds that one more token of a prompt adds."""
        return self._figures[3]

    def seconds(self, shape: StepShape) -> float:
        """Returns the time such a step is expected to take."""
        return _dot(self._figures, shape.counts)

    def observe(self, seconds: float, shape: StepShape) -> None:
        """Learns from a step of this shape that took ``seconds``."""
        expected = self.seconds(shape)
        self._wander(seconds, shape)
        blame = [_dot(row, shape.counts) for row in self._covariance]
        variance = _dot(blame, shape.counts) + (_NOISE * expected) ** 2
        furthest = _FURTHEST * math.sqrt(variance)
        surprise = min(furthest, max(-furthest, seconds - expected)) / variance
        self._figures = [max(1e-9, figure + part * surprise) for figure, part in zip(self._figures, blame, strict=True)]
        for row, part in zip(self._covariance, blame, strict=True):
            row[:] = [value - part * other / variance for value, other in zip(row, blame, strict=True)]

    def _wander(self, seconds: float, shape: StepShape) -> None:
        """Lets what the step is made of cost something else than it did; of the rest nothing is learned."""
        of_streams = _HIDDEN if shape.prefill_tokens else _WANDERING
        for at, (figure, count) in enumerate(zip(self._figures, shape.counts, strict=True)):
            if count:
                share = of_streams if at < 2 else _WANDERING
                self._covariance[at][at] += (share * max(figure, _LEAST_SHARE * seconds / count)) ** 2


def _dot(left: list[float], right: tuple[float, ...] | list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
