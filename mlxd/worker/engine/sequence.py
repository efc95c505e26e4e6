"""One request inside the paged runner: its tokens, and how many of them are computed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlxd.types import CacheOutcome
from mlxd.wire.events import Started
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.seen_spans import NOTHING_SEEN, SeenSpans
from mlxd.worker.kv.block_chain import BlockChain


@dataclass(eq=False)
class Sequence:
    """One request inside the paged runner. There are no phases: ``computed`` says how many tokens have keys and values, whether they are
    the prompt's, found in the cache, generated, or computed again after a preemption.

    ``in_flight`` tokens are sampled, but their values are not read yet: they are not in ``tokens``. ``computed`` may be ahead of
    ``verified``, by guesses too, but only what is both is committed to the prefix index.
    """

    request: EngineRequest
    chain: BlockChain  # names of its full blocks
    number: int = 0  # how many came before it
    heard: int | None = None  # how many had come when its first token had
    tokens: list[int] = field(default_factory=list)  # prompt and output, as far as known; never a guess
    computed: int = 0
    in_flight: int = 0
    turns: int = 0  # steps that computed its newest token, with or without guesses
    drafted: int = 0  # guesses behind its newest token, while they are computed
    cached_tokens: int = 0  # of the prompt, at first admission
    cache: CacheOutcome | None = None
    is_announced: bool = False  # that it has started is reported
    awaited: bytes | None = None  # the block that another sequence computes for it, while it waits for that
    is_asked: bool = False  # whether the disk has anything of it, while it waits
    recalls: int = 0  # reads from disk that were begun for it, while it waits
    from_disk: int = 0  # of ``cached_tokens``
    findable: int = 0  # tokens of it that the cache had when it was looked for last, while it waited
    looked_up: int = -1  # how many had begun when that was
    resume: int | None = None  # the snapshot its first chunk begins with
    known: int = 0  # tokens whose keys and values the cache had when it began, though perhaps no state behind them
    copied: int = 0  # tokens behind which its state was copied last
    compact_at: dict[int, int] = field(default_factory=dict)  # runs from which on moving its blocks together is tried, by group of layers
    is_scored: bool = False  # that they are known is reported
    scores: list[SampledToken] = field(default_factory=list)  # of the prompt's tokens from its second on, where they are wanted
    media: SeenSpans = NOTHING_SEEN  # of the prompt

    def __post_init__(self) -> None:
        self.media = SeenSpans(self.request.prompt) if self.request.prompt.media else NOTHING_SEEN
        self.tokens = self.tokens or list(self.request.tokens)

    def wait_anew(self) -> None:
        """Forgets what it has computed: it holds nothing any more, and begins again where the cache lets it."""
        self.computed, self.resume, self.awaited, self.looked_up = 0, None, None, -1
        self.is_asked, self.recalls = False, 0

    @property
    def id(self) -> str:
        """Returns the request's id, which names its sequence too."""
        return self.request.id

    @property
    def beginning(self) -> Started:
        """Returns what is told of it once it has begun."""
        return Started(
            id=self.id,
            prompt_tokens=len(self.request.tokens),
            cached_tokens=self.cached_tokens,
            disk_tokens=self.from_disk,
            cache=self.cache,
        )

    @property
    def sharer(self) -> str:
        """Returns the request whose part of the device it takes: all that one request asks for is one."""
        return self.request.parent or self.request.id

    @property
    def length(self) -> int:
        """Returns how many tokens there are, known or in flight."""
        return len(self.tokens) + self.in_flight

    @property
    def verified(self) -> int:
        """Returns how many tokens are its own for good: the prompt's, and what was sampled and read."""
        return len(self.tokens)

    @property
    def generated(self) -> int:
        """Returns how many tokens are sampled so far, in flight or known."""
        return self.length - len(self.request.tokens)

    @property
    def to_compute(self) -> int:
        """Returns how many tokens are to be computed.

        It is 0 when everything, up to ``max_tokens``, is computed or in flight: the last token's keys are never needed. Where nothing is
        to be generated, that is the prompt's last one.
        """
        if self.request.max_tokens == 0:
            return len(self.request.tokens) - 1 - self.computed
        if self.generated >= self.request.max_tokens:
            return 0
        return self.length - self.computed

    @property
    def remaining(self) -> int:
        """Returns how many tokens are left to compute, without those that the cache is thought to have."""
        return self.to_compute - (0 if self.computed else self.findable)

    def is_unknown(self, begun: int) -> bool:
        """Tells whether the cache may have more of it than was found, now that ``begun`` sequences have begun."""
        return self.looked_up < begun or self.awaited is not None

    @property
    def lacks_scores(self) -> bool:
        """Tells whether log-probabilities of its prompt are wanted, and not all are known: what others computed is of no use to it then."""
        return self.request.prompt_logprobs and len(self.scores) < len(self.request.tokens) - 1

    def targets(self, stop: int) -> tuple[int, ...]:
        """Returns the tokens behind those up to ``stop`` that are computed next, as far as their log-probabilities are wanted."""
        return tuple(self.request.tokens[self.computed + 1 : stop + 1]) if self.lacks_scores else ()

    def take_scores(self, start: int, scores: Iterable[SampledToken]) -> None:
        """Takes those of the tokens behind ``start``; after a preemption they may be known already."""
        found = list(scores)
        self.scores[start : start + len(found)] = found

    @property
    def decodes(self) -> bool:
        """Tells whether the next thing to compute is its newest token."""
        return self.generated > 0 and self.to_compute == 1
