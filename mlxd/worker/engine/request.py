"""A request inside the engine: tokens in, tokens out."""

import time
from dataclasses import dataclass, field

from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain


@dataclass
class EngineRequest:
    """The request is made when its prompt is encoded. ``aborted`` may be set by any thread; the engine looks at every step.

    Where a paged cache is asked for the prompt, ``chain`` names its blocks: hashed where it was encoded, for the engine thread has
    other things to do.
    """

    id: str
    prompt: EncodedPrompt
    sampling: SamplingParams
    chain: BlockChain | None = None
    priority: int = 0  # lower goes first, as ``WaitingLine`` ranks
    arrived: float = field(default_factory=time.monotonic)
    aborted: bool = False

    @property
    def tokens(self) -> list[int]:
        """Returns the tokens of the prompt."""
        return self.prompt.tokens

    @property
    def max_tokens(self) -> int:
        """Returns the most tokens it may generate."""
        return self.prompt.max_tokens
