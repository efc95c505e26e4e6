"""What the engine asks of whoever computes: one interface, four implementations.

``runtime.entries.simple_runner`` computes one request at a time, ``runtime.entries.contiguous_runner`` a batch with a cache of its own for
each sequence, ``engine.paged_runner`` a batch over one paged cache; ``engine.encoding.runner`` makes vectors and scores of texts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from mlxd.cache_terms import PinFigures, PinState
from mlxd.errors import GenerationError, MlxdError
from mlxd.types import Ability, CacheFigures, FinishReason, MemoryFigures, ResolvedLimits
from mlxd.wire.events import Started
from mlxd.worker.engine.events import Encoded, PromptScored
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.queued import QueuedRequest
from mlxd.worker.engine.sampled import Sampled

R_contra = TypeVar("R_contra", bound=QueuedRequest, contravariant=True)

ALL_OF_TEXT = frozenset({Ability.CONSTRAINTS, Ability.LOGPROBS, Ability.PROMPT_LOGPROBS})  # that a runner may be able to do


@dataclass
class StepReport:
    """What one step did. What ``ended`` or ``failed`` is forgotten by the runner already, and its memory free."""

    started: list[Started] = field(default_factory=list)
    scored: list[PromptScored] = field(default_factory=list)
    sampled: list[Sampled] = field(default_factory=list)
    encoded: list[Encoded] = field(default_factory=list)
    ended: dict[str, FinishReason] = field(default_factory=dict)
    failed: dict[str, MlxdError] = field(default_factory=dict)
    seconds: float = 0.0  # it took; of steps that follow each other, from result to result
    tokens: int = 0  # computed, of prompts and outputs; 0: nothing was
    rows: int = 0  # sequences that took part
    drafts: int = 0  # of ``tokens``, guesses
    preemptions: int = 0
    evicted_blocks: int = 0  # for want of room

    def fail(self, requests: Iterable[str], error: Exception) -> None:
        """Reports that ``requests`` have failed, but for those whose end is reported already: each ends once."""
        for request_id in requests:
            if request_id not in self.ended:
                self.failed.setdefault(request_id, as_failure(error))


class Runner(Protocol[R_contra]):
    """What computes requests of one task. All calls come from the engine thread."""

    def add(self, request: R_contra) -> None:
        """Lets a request wait for its turn. Raises a ``MlxdError`` for one that can never run here."""

    def uncached(self, request: R_contra) -> int:
        """Returns how many tokens of its prompt would have to be computed as things are; it changes nothing."""

    def abort(self, request_id: str) -> None:
        """Forgets a request that was added and has not ended: within a step or prefill chunk its memory is free."""

    def step(self) -> StepReport:
        """Computes something. A fault ends the requests it concerns, and is no exception. It is not called while idle."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """Returns what it can do of what only some runners can."""

    @property
    def capacity(self) -> int:
        """Returns how many requests can run at once."""

    @property
    def planned_seconds(self) -> float:
        """Returns how long the present step, or the last one, was expected to take. It may be read from any thread."""

    @property
    def is_idle(self) -> bool:
        """Tells whether nothing was added that has not ended, and nothing is being computed."""

    @property
    def rest(self) -> float | None:
        """Returns how many seconds it may be left alone unless something arrives: 0 while there is something to compute, None for ever."""
        return None if self.is_idle else 0.0

    def reconfigure(self, limits: ResolvedLimits) -> None:
        """Makes the limits hold from the next step on, of a restraint what concerns the cache."""

    def evict_cached(self) -> int:
        """Drops what is kept for later requests only, and returns how many blocks (or entries) that were."""

    def give_back(self) -> None:
        """Gives back memory that lies idle. It is called while idle, when nobody has asked for anything for a while."""

    def pin(self, orders: Sequence[PinOrder]) -> tuple[PinFigures, ...]:
        """Keeps the beginnings of these prompts in its cache from now on, and no others. Returns those that it cannot keep whatever they
        are; what has become of the others is among the figures of its cache.
        """
        reason = "the model's cache is not paged: `runner` says why"
        return tuple(PinFigures(name=order.name, state=PinState.REFUSED, reason=reason) for order in orders)

    @property
    def is_lasting(self) -> bool:
        """Tells whether ``close`` may take a while, for something is kept beyond its end."""
        return False

    def close(self) -> None:
        """Ends it, once nobody waits for anything; what is kept beyond its end is there then, as far as a few seconds suffice."""

    def memory(self) -> MemoryFigures:
        """Returns what weights, keys, values and MLX hold; ``rss`` is left to others."""

    def cache(self) -> CacheFigures:
        """Returns what the prefix cache holds."""


def as_failure(error: Exception) -> MlxdError:
    """Returns the error that a client gets for whatever computing its request raised."""
    if isinstance(error, MlxdError):
        return error
    return GenerationError(f"computing this request failed: {type(error).__name__}: {error}")
