"""What one step computes: the scheduler's decision, as values the runner can follow without asking back."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chunk:
    """The part of one sequence that a step computes: ``count`` tokens after the ``start`` that have keys and values already."""

    sequence: str
    start: int
    count: int
    tokens: tuple[int, ...] | None  # None: the one token that the step before sampled, whose value is not read yet
    runs: tuple[range, ...]  # blocks that hold tokens 0 to start + count, run by run
    samples: bool  # its last token's logits are sampled


@dataclass(frozen=True)
class StepPlan:
    """Chunks in the order of their rows: those of one token first."""

    chunks: tuple[Chunk, ...]

    @property
    def rows(self) -> int:
        """Tokens of the step."""
        return sum(chunk.count for chunk in self.chunks)
