"""What the paged runner asks of the device."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mlxd.types import MemoryFigures
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.transfers import Transfers
from mlxd.worker.kv.lookup import CachedBlock


@dataclass(frozen=True)
class Drafting:
    """What a draft model did for a step: it took so many seconds, for calls of so many ``rows`` each; none are told where it had more to do
    than to guess, such as prompts.
    """

    seconds: float
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """What came of the pictures and films that a plan had encoded on: those that are ``done``, with the bytes of their embeddings, and
    those that ``failed``. All of it took ``seconds``.
    """

    done: Mapping[bytes, int]
    failed: Mapping[bytes, Exception]
    seconds: float


@dataclass(frozen=True)
class StepResult:
    """What a step computed: the tokens sampled for each sequence whose chunk asked for one, or which were late then, and sequences that
    failed alone. ``scored`` are the targets of its chunks, sequence by sequence, in order.

    There may be several of a sequence only where no step is launched before they are read. ``drafting`` is None where a draft
    model had nothing to do; ``transfers``, ``encoded`` and ``copied``, the seconds that copying blocks and arenas took, are of the plan
    that was launched last.
    """

    plan: StepPlan
    sampled: Mapping[str, tuple[SampledToken, ...]]
    failed: Mapping[str, Exception]
    scored: Mapping[str, tuple[SampledToken, ...]] = field(default_factory=dict)
    drafting: Drafting | None = None
    transfers: Transfers | None = None
    encoded: Encoded | None = None
    copied: float = 0.0

    @property
    def besides(self) -> float:
        """Returns the seconds between this result and the one before that went to anything but computing steps."""
        return self.copied + (self.transfers.seconds if self.transfers else 0.0) + (self.encoded.seconds if self.encoded else 0.0)


class Executor(Protocol):
    """What computes plans. It may run one step ahead: then ``run`` launches a step and returns what the one before it computed. Chunks of
    one plan are computed as if one after the other: one may read what those before it have written.
    """

    def open(self, request: EngineRequest) -> None:
        """Prepares for a sequence that will be in plans."""

    def close(self, sequence: str) -> None:
        """Lets go of a sequence that will be in no more plans."""

    def settle(self) -> Collection[str]:
        """Samples what is due of the steps before; returns the sequences of which a token is late, for its constraint has not said yet what
        may come. The next plan must be without them; some later result has the token.
        """

    def run(self, plan: StepPlan) -> StepResult | None:
        """Copies what ``plan`` spills and fetches, and launches it (nothing, if it has no chunks). Waits for it, or, one step ahead, for
        the step launched before; returns None if there is none to wait for, and nothing was copied.

        Raises what MLX raises; then neither step has a result, nothing is in flight, and ``reset`` is due.
        """

    def trim(self, plan: StepPlan) -> None:
        """Copies what a plan without chunks spills or moves, and gives the memory back that it lets go of. It is for when no step is
        pending, nor any to come that would.
        """

    def not_finite(self, cached: Sequence[CachedBlock]) -> frozenset[int]:
        """Returns those of ``cached`` whose keys, values or recurrent state are NaN or infinite anywhere; waits for the device."""

    def reset(self) -> None:
        """Lets go of all keys, values and states after a fault, whatever they hold."""

    @property
    def is_growing(self) -> bool:
        """Tells whether arenas are not yet as large as the last plan told: one that needs what is new waits for all to be copied."""

    @property
    def is_pending(self) -> bool:
        """Tells whether a step was launched whose result was not returned yet."""

    @property
    def end_tokens(self) -> frozenset[int]:
        """Returns the tokens of which each ends a sequence."""

    @property
    def most_scored(self) -> int:
        """Returns how many targets one step may have: each takes a row of logits."""

    def memory(self) -> MemoryFigures:
        """Returns what weights, keys, values and MLX hold; ``rss`` is left to others."""
