"""What the engine asks of whoever computes."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from mlxd.types import CacheOutcome, MemoryFigures
from mlxd.worker.engine.request import EngineRequest


@dataclass(frozen=True)
class PrefixFound:
    """First of all: what the prefix cache has. ``outcome`` None: there is no cache."""

    cached_tokens: int
    outcome: CacheOutcome | None


@dataclass(frozen=True)
class PromptComputed:
    """A chunk of ``tokens`` prompt tokens was computed."""

    tokens: int


@dataclass(frozen=True)
class TokenSampled:
    """One token; ``is_end`` if it ends the sequence."""

    token: int
    is_end: bool


Progress = PrefixFound | PromptComputed | TokenSampled


class Runner(Protocol):
    """Computes one request at a time, on the engine thread."""

    def run(self, request: EngineRequest) -> Generator[Progress, None, None]:
        """``PrefixFound`` once, then chunks, then tokens until an end token or ``max_tokens``. Returns early, within one
        chunk or token, once ``request.aborted``. Closing the iterator early is allowed at any point.
        """

    def memory(self) -> MemoryFigures:
        """Without ``rss``."""

    @property
    def cache_entries(self) -> int:
        """Entries of the prefix cache."""
