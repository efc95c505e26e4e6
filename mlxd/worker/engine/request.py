"""A request inside the engine: tokens in, tokens out."""

import itertools
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from typing_extensions import override

from mlxd.types import SamplingParams, Stopping
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.engine.queued import QueuedRequest
from mlxd.worker.engine.speculation.indexed_text import IndexedText
from mlxd.worker.facts.adapters.fit import FittedAdapter
from mlxd.worker.kv.block_chain import BlockChain

_numbers = itertools.count()


@dataclass
class EngineRequest(QueuedRequest):
    """The request is made when its prompt is encoded. ``aborted`` may be set by any thread; the engine looks at every step.

    Where a paged cache is asked for the prompt, ``chain`` names its blocks: hashed where it was encoded, for the engine thread has
    other things to do.

    ``logprobs`` are wanted of each generated token, and of so many that were the most likely in its place; None: of none. With
    ``prompt_logprobs`` also of the prompt's. ``constraint`` limits what is generated, and is the engine's alone from then on.
    """

    id: str
    prompt: EncodedPrompt
    sampling: SamplingParams
    chain: BlockChain | None = None
    stopping: Stopping = field(default_factory=Stopping)
    logprobs: int | None = None
    prompt_logprobs: bool = False
    constraint: TokenConstraint | None = None
    looked_up: IndexedText | None = None  # the prompt, for guesses of what its answer repeats
    predicted: IndexedText | None = None  # what the client thinks the answer will be
    adapter: FittedAdapter | None = None  # with which it is computed; its identity is in the prompt's root
    priority: int = 0  # lower goes first, as ``WaitingLine`` ranks
    holder: str = ""  # the name of the key by which it is asked: what it uses of the cache is charged to that
    parent: str | None = None  # what it is a part of, with others: one of several answers, or to one of several prompts
    arrived: float = field(default_factory=time.monotonic)
    number: int = field(default_factory=lambda: next(_numbers))  # of requests: those that arrive at once go in the order of their making
    aborted: bool = False

    def ends(self, end_tokens: Collection[int]) -> Collection[int]:
        """Returns the tokens of which each ends it; ``end_tokens`` are the model's own."""
        own = () if self.stopping.ignore_end else end_tokens
        return frozenset([*own, *self.stopping.token_ids]) if self.stopping.token_ids else own

    @property
    @override
    def size(self) -> int:
        return len(self.prompt.tokens)

    @property
    def tokens(self) -> list[int]:
        """Returns the tokens of the prompt."""
        return self.prompt.tokens

    @property
    def max_tokens(self) -> int:
        """Returns the most tokens it may generate."""
        return self.prompt.max_tokens
