"""Large prompts wait while the machine is short of memory, and are refused where they wait for too long. It is pure, without a clock."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mlxd.errors import MemoryPressureError
from mlxd.types import Restraint
from mlxd.worker.engine.queued import QueuedRequest

R = TypeVar("R", bound=QueuedRequest)

_RETRY_AFTER = 30.0  # seconds


@dataclass(frozen=True)
class _Held(Generic[R]):
    """A request that waits since a moment, in monotonic seconds, with so many tokens to compute."""

    request: R
    tokens: int
    since: float


class Admission(Generic[R]):
    """The door before a runner. Times are in monotonic seconds."""

    def __init__(self) -> None:
        self._restraint = Restraint()
        self._held: dict[str, _Held[R]] = {}

    def hold_to(self, restraint: Restraint) -> None:
        """Makes another restraint hold, for those that wait already, too."""
        self._restraint = restraint

    def admits(self, request: R, uncached: Callable[[R], int], now: float) -> bool:
        """Tells whether a request may go on; it waits here where it may not. ``uncached`` gives the tokens of its prompt that have to be
        computed, and is asked only where that matters.
        """
        if self._fits(request.size) or self._fits(tokens := uncached(request)):
            return True
        self._held[request.id] = _Held(request, tokens, now)
        return False

    def forget_aborted(self) -> list[R]:
        """Returns those whose clients are gone; they are forgotten."""
        return self._take([held for held in self._held.values() if held.request.aborted])

    def released(self) -> list[R]:
        """Returns those that may go on now, in order of arrival; they wait no more."""
        return self._take([held for held in self._held.values() if self._fits(held.tokens)])

    def expired(self, now: float) -> dict[str, MemoryPressureError]:
        """Returns why those are refused that have waited for as long as they may; they are forgotten."""
        late = [held for held in self._held.values() if now - held.since >= self._restraint.patience]
        self._take(late)
        return {held.request.id: self._refusal(held.tokens) for held in late}

    def due_in(self, now: float) -> float | None:
        """Returns the seconds until the next one is refused; None where nobody waits."""
        first = min((held.since for held in self._held.values()), default=None)
        return None if first is None else max(0.0, first + self._restraint.patience - now)

    def _fits(self, tokens: int) -> bool:
        return self._restraint.largest_prompt is None or tokens <= self._restraint.largest_prompt

    def _take(self, found: list[_Held[R]]) -> list[R]:
        for held in found:
            del self._held[held.request.id]
        return [held.request for held in found]

    def _refusal(self, tokens: int) -> MemoryPressureError:
        return MemoryPressureError(
            f"the machine is short of memory: until that is over, prompts with more than {self._restraint.largest_prompt} tokens to "
            f"compute wait, and this one has {tokens}; try again later",
            retry_after=_RETRY_AFTER,
        )
