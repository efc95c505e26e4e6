"""What the engine says, in tokens; ``mlxd.worker.sessions`` turns it into text and wire messages.

How a request begins and fails is said in the words of the wire. Its end is told twice, for these are two things: here its sequence
``Ended``, on the wire its text is ``Finished``, which a stop string may do before.
"""

from dataclasses import dataclass, field

from mlxd.types import FinishReason, Timings
from mlxd.wire.events import Failed, Started
from mlxd.wire.messages import StepStats
from mlxd.worker.engine.sampled import Sampled, SampledToken


@dataclass(frozen=True)
class Ended:
    """The last word on a request that was neither aborted nor failed: no token follows."""

    id: str
    reason: FinishReason


@dataclass(frozen=True)
class PromptScored:
    """The log-probabilities of a prompt's tokens, from its second on. It comes once, before anything is sampled, where they are wanted."""

    id: str
    tokens: tuple[SampledToken, ...]


@dataclass(frozen=True)
class Encoded:
    """What became of some texts of a request, which ``places`` tell: their vectors, or scores, one after the other (float32,
    little-endian).
    """

    id: str
    places: tuple[int, ...]
    values: bytes


EngineEvent = Started | PromptScored | Sampled | Encoded | Ended | Failed


@dataclass
class StepOutput:
    """Everything one step did; it is written while the step goes on, and by nobody once it is emitted. Between steps, ``stats`` is None.
    ``timings`` are, so far, those of each request with an event ``Sampled`` or ``Ended``: a stop string may finish it here.
    """

    events: list[EngineEvent]
    stats: StepStats | None = None
    timings: dict[str, Timings] = field(default_factory=dict)
