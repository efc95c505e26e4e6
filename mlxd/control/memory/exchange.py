"""Who gives way to whom, and when, where memory does not hold all the models that are asked for. It is pure: places, claims and a time in,
a decision out.

::

    a model that has its place    idle: gives way once it has had it for its ``residence``
                                  in use: for its ``turn``; new requests for it wait then, and those that run finish
    models that want one          are served in the order in which requests began to wait for them; one that fits into what is left over
                                  by those before it need not wait for them

So two models that do not fit side by side change places at most once within a residence however requests for them alternate, and none
waits for longer than each of those before it has its turn, its last requests and a load.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

_LEAVING = 5.0  # seconds: what is said of memory that gets free without anybody's doing


@dataclass(frozen=True, kw_only=True)
class Tenure:
    """The way a model has its place. Times are in seconds, of the monotonic clock."""

    since: float | None  # when its worker became ready; None while it loads
    residence: float = 0.0
    turn: float | None = None  # None: in use, it never gives way
    stays: bool = False  # whatever happens: it is pinned
    is_busy: bool = False
    last_used: float = 0.0
    rest: float = 0.0  # seconds that its requests are likely to take still; of one that loads, the load

    @property
    def gives_way_at(self) -> float:
        """Returns when it has to give way, as things are; infinity where nobody can say."""
        if self.since is None or (self.is_busy and self.turn is None):
            return math.inf
        return self.since + (max(self.residence, self.turn or 0.0) if self.is_busy else self.residence)

    @property
    def soonest(self) -> float:
        """Returns the time before which it does not give way, whatever happens."""
        return -math.inf if self.since is None else self.since + self.residence


@dataclass(frozen=True, kw_only=True)
class Place:
    """The memory that a model has, in bytes. Of ``size``, its cache gives back ``spare`` where somebody else needs it."""

    model: str
    size: int
    spare: int = 0
    tenure: Tenure

    @property
    def gain(self) -> int:
        """Returns what there is more if it gives way, beyond its spare."""
        return self.size - self.spare


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The wish of a model that has no place for one of ``size`` bytes. ``load`` is what it takes to load, and ``residence`` how long it
    stays then, in seconds. One that does not push takes what leaves anyway, as a new worker in the place of an old one does.
    """

    model: str
    size: int
    since: float  # when a request began to wait for it
    load: float = 0.0
    residence: float = 0.0
    pushes: bool = True


@dataclass(frozen=True)
class Outlook:
    """The seconds until a claim is met: at the soonest, whatever happens, and most likely."""

    soonest: float
    likely: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done now: claims that take what is ``served``, those for whom caches of others are to shrink (``making_room``), those
    that are ``hopeless`` whoever gives way; the models that are ``closed`` to new requests, and those to be ``unloaded``. ``next_look`` is
    when time alone changes something.
    """

    served: tuple[str, ...] = ()
    making_room: tuple[str, ...] = ()
    hopeless: tuple[str, ...] = ()
    closed: frozenset[str] = frozenset()
    unloaded: tuple[str, ...] = ()
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)  # of claims that wait
    next_look: float = math.inf


def decide(*, free: int, leaving: int, places: Collection[Place], claims: Collection[Claim], now: float) -> Decision:
    """Returns what is to be done for ``claims``. Of the bytes that are not in ``places``, some are ``free`` and some ``leaving``: they will
    be free without anybody's doing.
    """
    deciding = _Deciding(free, leaving, places, now)
    for claim in sorted(claims, key=lambda one: (one.since, one.model)):
        deciding.consider(claim)
    return deciding.decision()


class _Deciding:
    """A decision as it is made, claim by claim, each of what those before it leave."""

    def __init__(self, free: int, leaving: int, places: Collection[Place], now: float) -> None:
        self._now = now
        self._free = free
        self._left = free + leaving + sum(one.spare for one in places)  # with all that comes without anybody's going
        self._all = self._left
        self._movable = [one for one in places if not one.tenure.stays and one.gain > 0]
        self._served: list[str] = []
        self._making_room: list[str] = []
        self._hopeless: list[str] = []
        self._closed: set[str] = set()
        self._unloaded: list[str] = []
        self._chosen: set[str] = set()
        self._outlooks: dict[str, Outlook] = {}
        self._waiting: list[Claim] = []
        self._next_look = math.inf

    def decision(self) -> Decision:
        return Decision(
            served=tuple(self._served),
            making_room=tuple(self._making_room),
            hopeless=tuple(self._hopeless),
            closed=frozenset(self._closed),
            unloaded=tuple(self._unloaded),
            outlooks=self._outlooks,
            next_look=self._next_look,
        )

    def consider(self, claim: Claim) -> None:
        others = [one for one in self._movable if one.model != claim.model] if claim.pushes else []
        if claim.size > self._all + sum(one.gain for one in others):
            self._hopeless.append(claim.model)
        elif claim.size <= min(self._free, self._left):
            self._served.append(claim.model)
            self._free -= claim.size
            self._take(claim, 0)
        elif claim.size <= self._left:
            self._making_room.append(claim.model)
            self._wait(claim, Outlook(0.0, _LEAVING), 0)
        else:
            victims = _chosen([one for one in others if one.model not in self._chosen], claim.size - self._left, self._now)
            self._have_give_way(claim, victims) if victims else self._stand_in_line(claim)

    def _have_give_way(self, claim: Claim, victims: Sequence[Place]) -> None:
        self._chosen |= {one.model for one in victims}
        times = [one.tenure.gives_way_at for one in victims]
        if max(times) <= self._now:
            self._closed |= {one.model for one in victims}
            if not any(one.tenure.is_busy for one in victims):
                self._unloaded += [one.model for one in victims]
        else:
            self._next_look = min(self._next_look, *(time for time in times if time > self._now))
        self._wait(claim, _outlook([one.tenure for one in victims], self._now), sum(one.gain for one in victims))

    def _stand_in_line(self, claim: Claim) -> None:
        """Lets a claim wait for those before it, who have chosen whatever could give way to it: they give way to it in their turn."""
        likely = max(self._outlooks[one.model].likely + one.load + one.residence for one in self._waiting) if self._waiting else _LEAVING
        self._outlooks[claim.model] = Outlook(0.0, likely)
        self._waiting.append(claim)

    def _wait(self, claim: Claim, outlook: Outlook, gain: int) -> None:
        self._outlooks[claim.model] = outlook
        self._waiting.append(claim)
        self._take(claim, gain)

    def _take(self, claim: Claim, gain: int) -> None:
        self._left += gain - claim.size


def _chosen(places: Sequence[Place], missing: int, now: float) -> list[Place]:
    """Returns those who are to give way so that ``missing`` bytes get free: first the one that may go first, and nobody without need.
    Where they are not enough, none.
    """
    taken: list[Place] = []
    for one in sorted(places, key=lambda one: _rank(one.tenure, now)):
        if missing <= 0:
            break
        taken.append(one)
        missing -= one.gain
    if missing > 0:
        return []
    for one in list(reversed(taken)):
        if one.gain <= -missing:
            taken.remove(one)
            missing += one.gain
    return taken


def _rank(tenure: Tenure, now: float) -> tuple[float, bool, float]:
    """Orders those who may go now by use, the least recently used first, then those in use, the longest there first; then the others, as
    their times come.
    """
    age = tenure.since if tenure.is_busy and tenure.since is not None else tenure.last_used
    return max(0.0, tenure.gives_way_at - now), tenure.is_busy, age


def _outlook(victims: Sequence[Tenure], now: float) -> Outlook:
    likely = [_until(one, now) for one in victims]
    return Outlook(max(0.0, *(one.soonest - now for one in victims)), max(0.0, *likely))


def _until(tenure: Tenure, now: float) -> float:
    """Returns how many seconds it is likely to take until a model has given way."""
    if tenure.since is None:
        return tenure.rest + tenure.residence
    if tenure.gives_way_at == math.inf:
        return max(tenure.soonest - now, tenure.rest)
    return max(0.0, tenure.gives_way_at - now) + tenure.rest
