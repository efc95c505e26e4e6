"""Looks at a daemon, and what happened between them: rates, shares and latencies of the last seconds. No clock in here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal, Self

from mlxd.terminal.top.histogram import Histogram
from mlxd.terminal.values import time_of

WINDOW = 60.0  # seconds that are remembered
NOW = 3.0  # seconds over which a rate of this moment is taken

Kind = Literal["generated", "prompt"]


@dataclass(frozen=True, kw_only=True)
class Counters:
    """The counters of one model. They only grow, as long as it is the same daemon."""

    prompt: int  # tokens computed
    generated: int
    looked_up: int  # prompt tokens the prefix cache was asked for
    found: int
    first_tokens: Histogram  # seconds

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> Self:
        """Reads the counters of a model of the admin API."""
        return cls(
            prompt=model["tokens"]["prompt"],
            generated=model["tokens"]["generated"],
            looked_up=model["cache"]["query_tokens"],
            found=model["cache"]["hit_tokens"],
            first_tokens=Histogram.of(model["time_to_first_token"]),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            prompt=self.prompt + other.prompt,
            generated=self.generated + other.generated,
            looked_up=self.looked_up + other.looked_up,
            found=self.found + other.found,
            first_tokens=self.first_tokens + other.first_tokens,
        )

    def tokens(self, kind: Kind) -> int:
        """Returns the tokens that were generated, or those of prompts."""
        return self.generated if kind == "generated" else self.prompt

    def since(self, earlier: Self) -> Self:
        """Returns what was added. Counters that fell have begun anew: then all they say was added."""
        added = type(self)(
            prompt=self.prompt - earlier.prompt,
            generated=self.generated - earlier.generated,
            looked_up=self.looked_up - earlier.looked_up,
            found=self.found - earlier.found,
            first_tokens=self.first_tokens - earlier.first_tokens,
        )
        fell = min(added.prompt, added.generated, added.looked_up, added.found, *added.first_tokens.counts) < 0
        return self if fell else added


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a daemon said at a moment of the monotonic clock."""

    at: float
    status: Mapping[str, Any]  # the answer of GET /admin/v1/status
    model: str | None = None  # whose requests these are
    requests: Sequence[Mapping[str, Any]] = ()

    @property
    def daemon(self) -> tuple[int, str]:
        """Identifies the daemon: another one counts from 0 again."""
        return self.status["pid"], self.status["started"]

    @property
    def daemon_began(self) -> float:
        """Returns when the daemon began, on the same clock as ``at``."""
        return self.at - (time_of(self.status["time"]) - time_of(self.status["started"])).total_seconds()

    def counters(self) -> dict[str, Counters]:
        """Returns the counters of each model."""
        return {model["id"]: Counters.of(model) for model in self.status["models"]}

    def tokens_of(self, request: str) -> int | None:
        """Returns how many tokens a request has generated; None where it is not there."""
        return next((one["completion_tokens"] for one in self.requests if one["id"] == request), None)


@dataclass(frozen=True)
class Interval:
    """The interval between two looks at a model."""

    began: float
    ended: float
    added: Counters

    def inside(self, began: float, ended: float) -> float:
        """Returns the seconds of the interval that lie between two moments."""
        return max(0.0, min(self.ended, ended) - max(self.began, began))


@dataclass(frozen=True)
class Recent:
    """What one model did in the last ``seconds``. What cannot be told is None."""

    seconds: float = 0.0
    added: Counters | None = None

    def rate(self, kind: Kind) -> float | None:
        """Returns tokens per second."""
        return self.added.tokens(kind) / self.seconds if self.added is not None and self.seconds > 0 else None

    def first_token(self, quantile: float) -> float | None:
        """Returns a quantile of the time to the first token, in seconds."""
        return None if self.added is None else self.added.first_tokens.quantile(quantile)

    @property
    def hit_share(self) -> float | None:
        """Returns the share of hits among the prompt tokens that were looked for in the prefix cache."""
        return self.added.found / self.added.looked_up if self.added is not None and self.added.looked_up else None


@dataclass(frozen=True)
class History:
    """The last ``WINDOW`` seconds of all models."""

    looks: tuple[Look, ...] = ()  # of the last ``NOW`` seconds and one more, the newest last
    intervals: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)  # by model, the newest last

    def after(self, look: Look) -> "History":
        """Returns the history with another look; what is too old, and models that are gone, is forgotten."""
        fresh = tuple(one for one in self.looks if one.at > look.at - NOW)
        if not self.looks:
            return History((look,))
        before, now = self.looks[-1], look.counters()
        intervals = {model: self._intervals_after(model, before, look) for model in now}
        return History((*(fresh or (before,)), look), intervals)

    def _intervals_after(self, model: str, before: Look, look: Look) -> tuple[Interval, ...]:
        kept = tuple(one for one in self.intervals.get(model, ()) if one.ended > look.at - WINDOW)
        now, earlier = look.counters()[model], before.counters().get(model)
        if kept and kept[-1].added.first_tokens.bounds != now.first_tokens.bounds:
            kept = ()  # a daemon of another version measures otherwise
        if look.daemon != before.daemon:
            return (*kept, Interval(max(before.at, look.daemon_began), look.at, now))
        return (*kept, Interval(before.at, look.at, now.since(earlier))) if earlier is not None else kept

    def recent(self, model: str, seconds: float) -> Recent:
        """Returns what happened over whole intervals, so that no event is counted by halves."""
        taken = [one for one in self.intervals.get(model, ()) if one.ended > self.looks[-1].at - seconds]
        if not taken:
            return Recent()
        added = taken[0].added
        for one in taken[1:]:
            added += one.added
        return Recent(sum(one.ended - one.began for one in taken), added)

    def series(self, model: str, kind: Kind, cells: int) -> list[float | None]:
        """Returns tokens per second in each of ``cells`` equal parts of the window, the oldest first; None where nobody looked.

        Parts begin at multiples of their length: a chart moves on, and what it has drawn keeps its shape.
        """
        if not self.looks:
            return [None] * cells
        length = WINDOW / cells
        last = ceil(self.looks[-1].at / length) - 1
        intervals = self.intervals.get(model, ())
        return [_rate(intervals, kind, cell * length, (cell + 1) * length) for cell in range(last - cells + 1, last + 1)]

    def request_rate(self, request: str) -> float | None:
        """Returns one request's tokens per second; None at the first look."""
        known = list(self._progress(request))
        if len(known) < 2 or known[-1][0] <= known[0][0]:
            return None
        (began, before), (ended, now) = known[0], known[-1]
        return max(0, now - before) / (ended - began)

    def _progress(self, request: str) -> Iterator[tuple[float, int]]:
        for look in self.looks:
            tokens = look.tokens_of(request)
            if tokens is not None:
                yield look.at, tokens


def _rate(intervals: Sequence[Interval], kind: Kind, began: float, ended: float) -> float | None:
    parts = [(one, one.inside(began, ended)) for one in intervals]
    covered = sum(seconds for _, seconds in parts)
    if covered <= 0:
        return None
    return sum(one.added.tokens(kind) * seconds / (one.ended - one.began) for one, seconds in parts if seconds > 0) / covered
