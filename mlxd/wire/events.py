"""What a worker says of a request, in the order in which it happens."""

import msgspec

from mlxd.types import CacheOutcome, FinishReason, Timings, Usage
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.logprobs import TokenLogprobs
from mlxd.wire.parts import Part, content_of


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An event, tagged by its class name."""


class Started(_Event, frozen=True, kw_only=True):
    """The request left the queue; the prefix cache was asked."""

    id: str
    prompt_tokens: int
    cached_tokens: int
    disk_tokens: int = 0  # of these, read from disk for it
    cache: CacheOutcome | None  # None: this model has no prefix cache


class Echo(_Event, frozen=True, kw_only=True):
    """The prompt itself, for an answer that begins with it. ``tokens`` are empty unless log-probabilities are wanted."""

    id: str
    text: str
    tokens: list[TokenLogprobs] = []


class Delta(_Event, frozen=True, kw_only=True, omit_defaults=True):
    """What ``tokens`` more tokens say. It may be nothing while a character or a stop string is undecided."""

    id: str
    parts: list[Part]
    tokens: int
    logprobs: list[TokenLogprobs] = []  # where they are wanted: of tokens that no stop string can cut off any more

    @property
    def text(self) -> str:
        """Returns the content of the parts."""
        return content_of(self.parts)


class Finished(_Event, frozen=True, kw_only=True, omit_defaults=True):
    """The end of a request; ``parts`` are what no ``Delta`` carried yet, ``tokens`` how many tokens they stand for."""

    id: str
    parts: list[Part]
    tokens: int
    reason: FinishReason
    usage: Usage
    timings: Timings
    matched_stop: str | None = None  # the stop string that ended it
    matched_token: int | None = None  # of ``Stopping.token_ids``, the one that ended it
    logprobs: list[TokenLogprobs] = []  # those that no ``Delta`` carried: together, of all tokens whose text is shown
    cumulative_logprob: float | None = None  # the sum over all generated tokens, where they are wanted
    warnings: list[str] = []  # what a client should know of the answer, such as a call that could not be read

    @property
    def text(self) -> str:
        """Returns the content of the parts."""
        return content_of(self.parts)


class Failed(_Event, frozen=True, kw_only=True):
    """The request was refused (queue full, prompt too long, …) or failed in computation; the code says which."""

    id: str
    error: ErrorInfo


class Embedded(_Event, frozen=True, kw_only=True):
    """Vectors of some inputs of a request, which ``places`` tell: float32, little-endian, one after the other."""

    id: str
    places: list[int]
    vectors: bytes


class Scored(_Event, frozen=True, kw_only=True):
    """Scores of some pairs of a request, which ``places`` tell."""

    id: str
    places: list[int]
    scores: list[float]


RequestEvent = Started | Echo | Delta | Embedded | Scored | Finished | Failed
