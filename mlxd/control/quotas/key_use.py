"""What the holder of one key uses, and whether it may use more."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from mlxd.config.principal import Principal
from mlxd.control.quotas.minute import Minute
from mlxd.errors import RateLimitError
from mlxd.types import Usage

Clock = Callable[[], float]  # monotonic, in seconds

_A_MOMENT = 1.0  # seconds after which to try again what waits for another request's end


class Right(StrEnum):
    """The rights of a key that can be exceeded, as the configuration calls them."""

    MAX_CONCURRENT = "max_concurrent"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    MODELS = "models"


@dataclass(frozen=True)
class Allowance:
    """What is left of a limit on a minute; in ``reset`` seconds all of it is, if nothing more is used."""

    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True)
class Allowances:
    """What is left of a holder's limits on a minute; None where it has none."""

    requests: Allowance | None
    tokens: Allowance | None


class KeyUse:
    """What the holder of a key has under way, used within a minute, and used since the daemon started.

    Limits are those of the moment: whoever asks says what they are. What was used counts whatever they are by then.
    """

    def __init__(self, name: str, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.running = 0  # requests for answers, from their arrival to their end
        self.requests = 0
        self._prompt = self._cached = self._completion = 0  # tokens
        self.held_tokens = 0  # for prompts whose tokens are not known yet
        self.refused: Counter[Right] = Counter()
        self.last_used: float | None = None  # by the clock
        self._clock = clock
        self._requests, self._tokens = Minute(), Minute()

    # ---- asking ----

    def ask(self, holder: Principal) -> None:
        """Takes note of a request that generates nothing. Raises ``RateLimitError`` where there are too many."""
        self._check(self._minute_of(Right.REQUESTS_PER_MINUTE, self._requests, holder.requests_per_minute))
        self._admit()

    @contextmanager
    def generation(self, holder: Principal, expected: int = 0) -> Iterator["Spending"]:
        """Keeps a request for answers among those under way for as long as the block lasts. Its prompt counts for ``expected`` tokens until
        they are known, so that not everything is let in that comes before the first has begun. Raises ``RateLimitError`` where a limit is
        reached: then it counts for none of them.
        """
        self._check(self._concurrent(holder.max_concurrent))
        self._check(self._minute_of(Right.REQUESTS_PER_MINUTE, self._requests, holder.requests_per_minute))
        self._check(self._minute_of(Right.TOKENS_PER_MINUTE, self._tokens, holder.tokens_per_minute, self.held_tokens))
        self._admit()
        self.running += 1
        spending = Spending(self, expected)
        try:
            yield spending
        finally:
            spending.let_go()
            self.running -= 1

    def spend(self, more: Usage) -> None:
        """Takes note of tokens that its requests have used, as they become known."""
        self._prompt += more.prompt_tokens
        self._cached += more.cached_tokens
        self._completion += more.completion_tokens
        self._tokens.add(more.prompt_tokens + more.completion_tokens, self._clock())

    def refuse(self, right: Right) -> None:
        """Counts a request that was refused."""
        self.refused[right] += 1

    # ---- what is asked of it ----

    @property
    def used(self) -> Usage:
        """Returns the tokens since the daemon started."""
        return Usage(prompt_tokens=self._prompt, cached_tokens=self._cached, completion_tokens=self._completion)

    @property
    def requests_this_minute(self) -> int:
        """Returns the requests of the last 60 seconds."""
        return self._requests.used(self._clock())

    @property
    def tokens_this_minute(self) -> int:
        """Returns the tokens of the last 60 seconds."""
        return self._tokens.used(self._clock())

    @property
    def idle_seconds(self) -> float | None:
        """Returns the seconds since its last request was admitted; None where there was none."""
        return None if self.last_used is None else self._clock() - self.last_used

    @property
    def is_idle(self) -> bool:
        """Tells whether nothing is under way, and nothing counts for a limit any more."""
        return not (self.running or self.requests_this_minute or self.tokens_this_minute)

    def allowances(self, holder: Principal) -> Allowances:
        """Returns what is left of the holder's limits."""
        return Allowances(
            requests=self._left(self._requests, holder.requests_per_minute),
            tokens=self._left(self._tokens, holder.tokens_per_minute, self.held_tokens),
        )

    # ---- decisions ----

    def _admit(self) -> None:
        self.requests += 1
        self.last_used = self._clock()
        self._requests.add(1, self.last_used)

    def _check(self, exceeded: "_Exceeded | None") -> None:
        if exceeded is not None:
            self.refuse(exceeded.right)
            raise RateLimitError(exceeded.message, retry_after=exceeded.retry_after)

    def _concurrent(self, limit: int | None) -> "_Exceeded | None":
        if limit is None or self.running < limit:
            return None
        text = f"{self.running} requests of this key are under way, and it may have {limit}; try again when one is over"
        return _Exceeded(Right.MAX_CONCURRENT, text, _A_MOMENT)

    def _minute_of(self, right: Right, minute: Minute, limit: int | None, held: int = 0) -> "_Exceeded | None":
        now = self._clock()
        used = minute.used(now)
        if limit is None or used + held < limit:
            return None
        wait = max(_A_MOMENT, minute.until_below(limit, now))
        noun = right.value.partition("_")[0]
        waiting = f", and some {held} are waited for" if held else ""
        text = f"this key has used {used} {noun} within a minute{waiting}; it may use {limit}; try again in {wait:.0f} s"
        return _Exceeded(right, text, wait)

    def _left(self, minute: Minute, limit: int | None, held: int = 0) -> Allowance | None:
        now = self._clock()
        return None if limit is None else Allowance(limit, max(0, limit - minute.used(now) - held), minute.until_empty(now))


class Spending:
    """What one request for answers spends of its key's tokens. ``expected`` of them are held for its prompt, until that is known or the
    request is over.
    """

    def __init__(self, use: KeyUse, expected: int) -> None:
        self._use = use
        self._held = expected
        use.held_tokens += expected

    def add(self, more: Usage) -> None:
        """Takes note of tokens as they become known."""
        if more.prompt_tokens:
            self.let_go()
        self._use.spend(more)

    def expect_less(self, tokens: int) -> None:
        """Holds so many fewer."""
        fewer = min(tokens, self._held)
        self._use.held_tokens -= fewer
        self._held -= fewer

    def let_go(self) -> None:
        """Holds nothing any more."""
        self.expect_less(self._held)


@dataclass(frozen=True)
class _Exceeded:
    right: Right
    message: str
    retry_after: float
