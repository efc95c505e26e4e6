"""What a step costs, learned from the steps that were. It is pure, and has no clock.

Its parts are told apart as soon as steps differ, also where hardly a step is without a prompt, and it follows a device that slows down or
contexts that grow.
"""

from dataclasses import dataclass

from mlxd.worker.engine.learned_cost import LearnedCost

_FIRST = (0.02, 0.002, 0.002, 0.005, 0.001)  # seconds, before anything was observed
_DOUBT = (0.2, 0.02, 0.1, 0.01, 0.01)  # seconds, standard deviations: how far off that may be
_WANDERING = 0.2  # how far a figure may move from step to step, as a share of it
_HIDDEN = 0.03  # the same for what streams cost, while prompts are in the step: it is these that a longer context makes dearer


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
        self._cost = LearnedCost(_FIRST, _DOUBT)

    @property
    def prompt(self) -> float:
        """Returns the seconds a prompt adds to a step before its first token does: attention over what it has already, layer by layer."""
        return self._cost.figures[2]

    @property
    def token(self) -> float:
        """Returns the seconds that one more token of a prompt adds."""
        return self._cost.figures[3]

    def seconds(self, shape: StepShape) -> float:
        """Returns the time such a step is expected to take."""
        return self._cost.seconds(shape.counts)

    def observe(self, seconds: float, shape: StepShape) -> None:
        """Learns from a step of this shape that took ``seconds``."""
        of_streams = _HIDDEN if shape.prefill_tokens else _WANDERING
        self._cost.observe(seconds, shape.counts, (of_streams, of_streams, _WANDERING, _WANDERING, _WANDERING))
