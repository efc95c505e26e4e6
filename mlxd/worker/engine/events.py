"""What the engine says, in tokens; ``mlxd.worker.session`` turns it into text and wire messages."""

from dataclasses import dataclass

from mlxd.errors import MlxdError
from mlxd.types import CacheOutcome, FinishReason, Timings
from mlxd.wire.messages import StepStats


@dataclass(frozen=True)
class RequestStarted:
    """It left the queue, and the prefix cache was asked."""

    id: str
    prompt_tokens: int
    cached_tokens: int
    cache: CacheOutcome | None


@dataclass(frozen=True)
class TokenGenerated:
    """One more token; ``is_end`` for an end-of-sequence token, which has no text."""

    id: str
    token: int
    is_end: bool
    timings: Timings  # so far: a stop string may end the request here


@dataclass(frozen=True)
class RequestEnded:
    """The last word on a request that was not aborted."""

    id: str
    reason: FinishReason
    timings: Timings


@dataclass(frozen=True)
class RequestFailed:
    """Its computation failed; others go on."""

    id: str
    error: MlxdError


EngineEvent = RequestStarted | TokenGenerated | RequestEnded | RequestFailed


@dataclass(frozen=True)
class StepOutput:
    """Everything one step did. Between steps, ``stats`` is None."""

    events: list[EngineEvent]
    stats: StepStats | None = None
