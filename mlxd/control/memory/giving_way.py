"""What ``exchange`` decides, done: models that requests ask for wait for their turn, and others are closed and unloaded for them. Models
that load by themselves, at start or after a reload, push nobody out.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from mlxd.control.broadcast import Broadcast
from mlxd.control.memory.cache_pool import CachePool
from mlxd.control.memory.exchange import Claim, Decision, Outlook, Place, decide
from mlxd.control.memory.holder import Holder
from mlxd.control.memory.ledger import Ledger, model_of

_LONGEST = 1.0  # seconds between two looks while somebody waits: that a model has become idle is told, and may be missed

_log = structlog.get_logger(__name__)


class Claimed(Protocol):
    """What is claimed, as far as it is to be done."""

    def enter(self) -> None:
        """Lets caches of the pool shrink for it."""

    def take(self) -> bool:
        """Reserves the memory; False where there is not so much now."""


@dataclass(frozen=True)
class TurnState:
    """A model that waits for its turn. ``size`` is in bytes; ``waited`` and ``likely``, until its turn comes, in seconds."""

    model: str
    size: int
    requests: int
    waited: float
    likely: float | None


@dataclass(frozen=True)
class ExchangeState:
    """The models that wait for their turns, and those that are ``closed``: they finish what runs, and give way then."""

    turns: tuple[TurnState, ...] = ()
    closed: tuple[str, ...] = ()


class ExchangeTelemetry(Protocol):
    """A sink of what models and requests go through because memory does not hold all models."""

    def model_exchanged(self, model: str) -> None:
        """Counts that ``model`` was unloaded for another."""

    def turn_awaited(self, model: str, seconds: float) -> None:
        """Takes in how long a load of ``model`` waited for its turn, whether or not that came."""


class Silence(ExchangeTelemetry):
    """A sink that nobody reads."""

    def model_exchanged(self, model: str) -> None: ...

    def turn_awaited(self, model: str, seconds: float) -> None: ...


@dataclass
class Waiting:
    """A claim that is not met yet; ``met`` says whether it is, once that is settled."""

    claim: Claim
    claimed: Claimed
    ended: Callable[["Waiting"], None]
    began: float | None = None  # when it had to wait, in monotonic seconds; None: it was met at once
    met: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def is_met(self) -> bool:
        """Tells whether its memory is reserved."""
        return self.met.done() and not self.met.cancelled() and self.met.result()

    def withdraw(self) -> None:
        """Ends the claim, whether it is met or not."""
        self.ended(self)


class GivingWay:
    """The models that hold memory, and the claims of those that want some. ``holders`` gives all models and is asked anew each time;
    ``admits`` tells whether a model may be loaded at all now.
    """

    def __init__(
        self,
        ledger: Ledger,
        pool: CachePool,
        holders: Callable[[], Iterable[Holder]],
        *,
        admits: Callable[[str], bool],
        telemetry: ExchangeTelemetry,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._holders = holders
        self._admits = admits
        self._telemetry = telemetry
        self._changed = Broadcast()
        self._waiting: dict[str, Waiting] = {}  # by model
        self._decision = Decision()
        self._is_looking = False
        self._timer: asyncio.TimerHandle | None = None

    # ---- what is known ----

    @property
    def waiting(self) -> tuple[Claim, ...]:
        """Returns the claims that are not met yet and that others give way to, the oldest first."""
        pushing = [one.claim for one in self._waiting.values() if one.claim.pushes and not one.met.done()]
        return tuple(sorted(pushing, key=lambda claim: claim.since))

    @property
    def state(self) -> ExchangeState:
        """Returns who waits, the one first whose turn is next, and who is closed."""
        now, requests = time.monotonic(), {one.name: one.requests_waiting for one in self._holders()}

        def state(one: Claim) -> TurnState:
            return TurnState(one.model, one.size, requests.get(one.model, 0), now - one.since, self._likely(one.model))

        return ExchangeState(tuple(map(state, self.waiting)), tuple(sorted(self._decision.closed)))

    def is_closed(self, model: str) -> bool:
        """Tells whether ``model`` is to give way, so that new requests for it wait."""
        return model in self._decision.closed

    def outlook(self, model: str) -> Outlook | None:
        """Returns when ``model`` is likely to have its turn; None where it does not wait for one."""
        if model in self._decision.closed:
            return self._outlook_of_closed()
        waiting = self._waiting.get(model)
        return self._decision.outlooks.get(model) if waiting is not None and waiting.claim.pushes else None

    def _outlook_of_closed(self) -> Outlook:
        """Returns when a model comes back that is about to give way: after whoever takes its place."""
        ways = [(self._decision.outlooks[one.model], one) for one in self.waiting if one.model in self._decision.outlooks]
        soonest = min((outlook.soonest + claim.residence for outlook, claim in ways), default=0.0)
        return Outlook(soonest, max((outlook.likely + claim.load + claim.residence for outlook, claim in ways), default=0.0))

    def coming(self) -> int:
        """Returns the bytes that are free, or will be without that any model goes."""
        return self._ledger.free + self._leaving() + sum(one.spare for one in self._places())

    def reclaimable(self, model: str) -> int:
        """Returns the bytes there would be for ``model`` if all gave way to it that may, now or later."""
        return self.coming() + sum(one.gain for one in self._places() if one.model != model and not one.tenure.stays)

    # ---- what happens ----

    def tell_of_freed(self) -> None:
        """Tells everybody that memory has got free, first of all those whose turn it is."""
        self._look()
        self._changed.tell()
        for one in list(self._holders()):
            one.memory_freed(self._ledger.free)

    def note(self) -> None:
        """Takes in that something may have changed: it is looked at soon, and what somebody waits for may come no more."""
        self._changed.tell()
        if self._waiting and not self._is_looking:
            self._look_in(0.0)

    async def wait_for_leaving(self, model: str, amount: int) -> None:
        """Waits while what is free does not suffice, but is ``amount`` bytes together with what leaves anyway and nobody has claimed."""
        while self._ledger.free < amount <= self._ledger.free + self._leaving(but=model) - self._claimed():
            await self._changed.wait()

    def claim(self, claim: Claim, claimed: Claimed) -> Waiting:
        """Lets a model wait for its turn, until that is withdrawn."""
        waiting = self._waiting[claim.model] = Waiting(claim, claimed, self._withdraw)
        self._look()
        if claim.pushes and not waiting.met.done():
            waiting.began = time.monotonic()
            _log.info("model_waits_for_turn", model=claim.model, needs=claim.size, likely=self._likely(claim.model))
        return waiting

    def _withdraw(self, waiting: Waiting) -> None:
        if self._waiting.get(waiting.claim.model) is waiting:
            del self._waiting[waiting.claim.model]
            waiting.met.cancel()
            if waiting.began is not None:
                self._telemetry.turn_awaited(waiting.claim.model, time.monotonic() - waiting.began)
            self._look()

    # ---- looking, and doing ----

    def _look(self) -> None:
        """Decides anew, and does it. What is done may change something: that is looked at afterwards."""
        if self._is_looking or not (self._waiting or self._decision.outlooks):
            return
        self._is_looking = True
        try:
            while self._do(self._decide()):
                pass
        finally:
            self._is_looking = False
        self._look_in(self._decision.next_look - time.monotonic())

    def _decide(self) -> Decision:
        claims = [one.claim for one in self._waiting.values() if not one.met.done()]
        return decide(free=self._ledger.free, leaving=self._leaving(), places=self._places(), claims=claims, now=time.monotonic())

    def _do(self, decision: Decision) -> bool:
        """Does what is decided; tells whether that is to be followed by another decision."""
        before, self._decision = self._decision, decision
        holders = {one.name: one for one in self._holders()}
        for model in decision.unloaded:
            self._unload(holders[model])
        for model in decision.making_room:
            self._waiting[model].claimed.enter()
        settled = [*self._serve(decision), *self._refuse(decision)]
        self._tell_of_doors(before.closed, decision, holders)
        for model in (before.closed ^ decision.closed) | (before.outlooks.keys() ^ decision.outlooks.keys()):
            if model in holders:
                holders[model].terms_changed()
        return bool(settled or decision.unloaded)

    @staticmethod
    def _tell_of_doors(before: Collection[str], decision: Decision, holders: Mapping[str, Holder]) -> None:
        """Logs who is closed now, and who is open again: those that have gone, or go at once, are told of otherwise."""
        for model in sorted(decision.closed.difference(before, decision.unloaded)):
            _log.info("model_closed_for_turn", model=model)
        for model in sorted(set(before) - decision.closed):
            if model in holders and holders[model].tenure is not None:
                _log.info("model_opened_again", model=model)

    def _unload(self, holder: Holder) -> None:
        _log.info("model_gives_way", model=holder.name, to=[one.model for one in self.waiting])
        self._telemetry.model_exchanged(holder.name)
        holder.unload()

    def _serve(self, decision: Decision) -> list[Waiting]:
        served = [self._waiting[model] for model in decision.served if self._waiting[model].claimed.take()]
        for one in served:
            one.met.set_result(True)
        return served

    def _refuse(self, decision: Decision) -> list[Waiting]:
        """Refuses those that nobody can help, and those that may not be loaded now."""
        open_ones = [(name, one) for name, one in self._waiting.items() if not one.met.done()]
        refused = [one for name, one in open_ones if name in decision.hopeless or not self._admits(name)]
        for one in refused:
            one.met.set_result(False)
        return refused

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waits = min(max(0.0, seconds), _LONGEST)
        self._timer = asyncio.get_running_loop().call_later(waits, self._look) if self._waiting else None

    def _likely(self, model: str) -> float | None:
        outlook = self._decision.outlooks.get(model)
        return None if outlook is None else round(outlook.likely, 1)

    # ---- the account ----

    def _places(self) -> list[Place]:
        """Returns the places of all models that have one and keep it."""
        places = []
        for one in self._holders():
            tenure = one.tenure
            if tenure is not None:
                staying = [holder for holder in self._ledger.of(one.name) if holder not in one.leaving]
                size = sum(self._ledger.taken(holder) for holder in staying)
                places.append(Place(model=one.name, size=size, spare=sum(map(self._pool.spare_of, staying)), tenure=tenure))
        return places

    def _leaving(self, *, but: str = "") -> int:
        """Returns the bytes that will be free without anybody's doing, of all models ``but`` one."""
        reserved = self._ledger.reserved
        leaving = {holder for one in self._holders() if one.name != but for holder in one.leaving}
        shrinking = [amount for holder, amount in self._pool.surplus().items() if holder not in leaving and model_of(holder) != but]
        return sum(reserved.get(holder, 0) for holder in leaving) + sum(shrinking)

    def _claimed(self) -> int:
        return sum(one.claim.size for one in self._waiting.values() if not one.met.done())
