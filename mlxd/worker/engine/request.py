"""A request inside the engine: tokens in, tokens out."""

import time
from dataclasses import dataclass, field

from mlxd.types import SamplingParams


@dataclass
class EngineRequest:
    """Made when its tokens are known. ``aborted`` may be set by any thread; the engine looks at every step."""

    id: str
    tokens: list[int]  # the prompt
    max_tokens: int
    sampling: SamplingParams
    priority: int = 0  # lower goes first; see ``WaitingLine``
    arrived: float = field(default_factory=time.monotonic)
    aborted: bool = False
