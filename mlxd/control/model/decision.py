"""From what is wanted of a model and what there is to the next step. It is pure: values in, a decision out; no clock, no I/O."""

from dataclasses import dataclass, field

from mlxd.control.model.wish import Wish
from mlxd.wire.messages import Load


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What there is of one model. A worker is known by what it was started with, without its limits (``load_spec.worker_spec``)."""

    configured: Load  # what the file says
    good: Load | None = None  # what the last worker that became ready was started with
    serving: Load | None = None
    is_stale: bool = False  # the one that serves is to be replaced, whatever the file says
    loading: Load | None = None
    in_transition: bool = False  # one loads or has not ended yet: no other can be started
    barred: frozenset[Load] = field(default_factory=frozenset)  # these are not tried now
    due: frozenset[Load] = field(default_factory=frozenset)  # these failed, and are to be tried again


@dataclass(frozen=True)
class Leave:
    """No worker is wanted: what loads is to be given up, and what serves is to drain."""


@dataclass(frozen=True)
class GiveUpLoading:
    """What loads is not what is wanted, and is to be given up."""


@dataclass(frozen=True)
class Start:
    """A worker of this kind is to be loaded; with ``probe`` it has to generate something before it takes over from a good one. One that
    ``may_displace`` the worker that serves has it drained first where there is no memory for both.
    """

    spec: Load
    probe: bool
    may_displace: bool


@dataclass(frozen=True)
class Tell:
    """The right worker serves, and is to be told what may change while it runs."""


@dataclass(frozen=True)
class Wait:
    """Nothing can be done until something changes."""


Decision = Leave | GiveUpLoading | Start | Tell | Wait


def decide(wish: Wish, observed: Observed) -> Decision:
    """Returns the next step toward ``wish``."""
    if wish is Wish.FINISHING:
        return Wait()
    if not wish.wants_worker:
        return Leave()
    spec = target(observed)
    if observed.loading is not None and observed.loading != spec:
        return GiveUpLoading()
    if spec is None or observed.in_transition:
        return Wait()
    if observed.serving == spec and not observed.is_stale:
        return Tell()
    return Start(spec, probe=is_replacement(spec, observed), may_displace=spec not in observed.due)


def target(observed: Observed) -> Load | None:
    """Returns what a worker should run with now: what the file says, or, where that cannot be had, what serves or was good before."""
    if observed.configured in observed.barred:
        return observed.serving or fallback(observed)
    if observed.configured in observed.due and observed.loading is not None and observed.loading == observed.good:
        return observed.good  # it comes back first: another try can wait
    return observed.configured


def fallback(observed: Observed) -> Load | None:
    """Returns what was good before, unless that cannot be had either."""
    return None if observed.good in observed.barred else observed.good


def is_replacement(spec: Load, observed: Observed) -> bool:
    """Tells whether another worker is or was good, so that a new one has to prove itself."""
    return observed.serving is not None or (observed.good is not None and observed.good != spec)
