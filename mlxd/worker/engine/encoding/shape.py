"""The shape of a step that encodes, and what it costs."""

from dataclasses import dataclass

from mlxd.worker.engine.learned_cost import LearnedCost

_FIRST = (0.01, 0.0005, 0.0001)  # seconds, before anything was observed
_DOUBT = (0.1, 0.01, 0.001)  # seconds, standard deviations
_WANDERING = (0.2, 0.2, 0.2)  # how far a figure may move from step to step, as a share of it
_CALLS = 0.05  # of a batch's time, that is worth no larger batch
_AREA = 1024  # pairs of tokens that attend to each other, of which a figure is the cost


@dataclass(frozen=True)
class BatchShape:
    """The shape of a batch: so many ``rows``, each as long as the ``longest``, which has so many tokens."""

    rows: int
    longest: int

    @property
    def padded(self) -> int:
        """Returns how many tokens are computed, those included that only fill up."""
        return self.rows * self.longest

    @property
    def pairs(self) -> int:
        """Returns how many pairs of tokens attend to each other."""
        return self.padded * self.longest

    @property
    def counts(self) -> tuple[float, ...]:
        """Returns how often each figure of the cost is in it: the call itself, tokens, pairs of tokens."""
        return (1.0, float(self.padded), self.pairs / _AREA)


class BatchCost:
    """The seconds of a batch: ``call + token * tokens + pairs * pairs of tokens``, learned from those that were."""

    def __init__(self) -> None:
        self._cost = LearnedCost(_FIRST, _DOUBT)

    def seconds(self, shape: BatchShape) -> float:
        """Returns the time that such a batch is expected to take."""
        return self._cost.seconds(shape.counts)

    def observe(self, seconds: float, shape: BatchShape) -> None:
        """Learns that such a batch took ``seconds``."""
        self._cost.observe(seconds, shape.counts, _WANDERING)

    @property
    def efficient_seconds(self) -> float:
        """Returns how long a batch takes of which the call itself is a twentieth: longer ones gain next to nothing."""
        return self._cost.figures[0] / _CALLS

    @property
    def call_in_tokens(self) -> float:
        """Returns how many tokens could be computed in the time that a call takes before its first."""
        call, token, _ = self._cost.figures
        return call / token
