"""What the continuous engine asks of whoever computes its steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mlxd.types import MemoryFigures
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.request import EngineRequest


@dataclass(frozen=True)
class StepResult:
    """What a step computed: the token sampled for each sequence whose chunk asked for one, and rows that failed alone."""

    plan: StepPlan
    sampled: Mapping[str, int]
    failed: Mapping[str, Exception]


class BatchRunner(Protocol):
    """Runs one step ahead: ``run`` launches a step and returns what the one before it computed. All calls come from the
    engine thread.
    """

    def open(self, request: EngineRequest) -> None:
        """A sequence that will be in plans."""

    def run(self, plan: StepPlan) -> StepResult | None:
        """Launch ``plan`` (nothing, if it is empty) and wait for the step launched before, if there was one.

        Raises what MLX raises; then neither step has a result, and nothing is in flight.
        """

    def close(self, sequence: str) -> None:
        """It will be in no more plans."""

    def memory(self) -> MemoryFigures:
        """Without ``rss``."""

    @property
    def end_tokens(self) -> frozenset[int]:
        """Each ends a sequence."""
