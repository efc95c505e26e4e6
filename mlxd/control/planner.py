"""From two snapshots to what a reload would do, and what it refuses. It is pure: values in, decisions out.

::

    Diff ─▶ Plan: per model one action, the listeners that open and close, what is live, what needs a restart
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlxd.config.address import Address
from mlxd.config.diff import Change, Diff, diff
from mlxd.config.fields import Reload
from mlxd.config.loader import LoadedConfig
from mlxd.config.schema import Config, ModelTable


class Action(StrEnum):
    """The things that may happen to one model."""

    NONE = "none"
    LIVE = "live"  # its worker is told
    REPLACE = "replace"  # a new worker beside the old one, which then drains
    DRAIN_AND_REPLACE = "drain_and_replace"  # there is no memory for both
    LOAD = "load"  # it is new
    ADD = "add"  # it is new, and loads at its first request
    UNLOAD = "unload"  # it is gone from the file


@dataclass(frozen=True)
class ModelPlan:
    """One model's part of a plan."""

    name: str
    action: Action
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class ListenerPlan:
    """One listener's part of a plan: what is bound before anything changes, and closed after."""

    role: str  # "inference", "admin" or "metrics"
    opened: tuple[Address, ...]
    closed: tuple[Address, ...]


@dataclass(frozen=True)
class CacheShare:
    """The share that a model has of the pool of caches (``cache.memory = "auto"``), in bytes; None where it is not in it."""

    model: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Plan:
    """What a reload would do. ``models`` are in the new file's order, the removed ones last; those that nothing happens to are left out."""

    models: tuple[ModelPlan, ...] = ()
    listeners: tuple[ListenerPlan, ...] = ()
    live: tuple[Change, ...] = ()  # outside models
    refused: tuple[Change, ...] = ()  # need a restart of the daemon
    caches: tuple[CacheShare, ...] = ()  # shares that change, as far as that is known before models are loaded

    @property
    def is_empty(self) -> bool:
        """Tells whether taking the file over has no effect."""
        return not (self.models or self.listeners or self.live or self.refused)


@dataclass(frozen=True)
class Room:
    """The memory there is, in bytes, and what each model has reserved: whether an old and a new worker fit side by side."""

    limit: int
    reserved: Mapping[str, int]
    pool: int = 0  # of caches
    shares: Mapping[str, int] = field(default_factory=dict)  # of the pool, by model

    def fits_twice(self, model: str) -> bool:
        """Tells whether the new worker fits beside the old one, taking it to need as much."""
        return sum(self.reserved.values()) + self.reserved.get(model, 0) <= self.limit


def plan(before: LoadedConfig, after: LoadedConfig, room: Room) -> Plan:
    """Returns what taking over ``after`` would do."""
    found = diff(before, after)
    listeners = tuple(_listeners(before.config, after.config))
    return Plan(
        models=tuple(_models(found, after.config, room)),
        listeners=listeners,
        live=tuple(change for change in found.changes if change.reload is Reload.LIVE),
        refused=tuple(change for change in found.all_changes if change.reload is Reload.DAEMON),
        caches=tuple(_caches(before.config, after.config, room)),
    )


def listen_addresses(config: Config) -> dict[str, tuple[Address, ...]]:
    """Returns what each listener is to be bound to. The metrics listener has addresses only where it has some of its own."""
    metrics = config.metrics.listen if config.metrics.enabled else None
    return {"inference": config.server.listen, "admin": config.admin.listen, "metrics": metrics or ()}


def _models(found: Diff, config: Config, room: Room) -> list[ModelPlan]:
    plans = []
    for name, model in config.models.items():
        if name in found.added:
            plans.append(ModelPlan(name, Action.LOAD if model.lifecycle.load == "eager" else Action.ADD))
        elif name in found.models:
            plans.append(ModelPlan(name, _action(name, found.models[name], room), found.models[name]))
    return plans + [ModelPlan(name, Action.UNLOAD) for name in found.removed]


def _caches(before: Config, after: Config, room: Room) -> list[CacheShare]:
    """Returns the shares of the models that are loaded, or load by themselves. Where ``memory.limit`` leaves less than the pool, that is
    shared.
    """
    known = {name: size for name, size in room.shares.items() if name in before.models}

    def takes_part(name: str, model: ModelTable) -> bool:
        old = before.models.get(name)
        if old is None:
            return model.lifecycle.load == "eager"
        # One that is loaded, and had no share though it wanted one, has turned out to encode: it has no cache.
        return name in known or (name in room.reserved and not _wants_share(old))

    wanting = [name for name, model in after.models.items() if _wants_share(model) and takes_part(name, model)]
    pool = sum(known.values()) if known else room.pool
    after_shares = dict.fromkeys(wanting, pool // max(1, len(wanting)))
    if not room.pool or set(wanting) == set(known):
        return []
    names = dict.fromkeys([*after.models, *known])
    return [CacheShare(name, known.get(name), after_shares.get(name)) for name in names if known.get(name) != after_shares.get(name)]


def _wants_share(model: ModelTable) -> bool:
    return model.cache.memory.is_auto and model.cache.kind != "none" and not model.encodes


def _action(name: str, changes: tuple[Change, ...], room: Room) -> Action:
    if not any(change.reload is Reload.MODEL for change in changes):
        return Action.LIVE
    return Action.REPLACE if room.fits_twice(name) else Action.DRAIN_AND_REPLACE


def _listeners(before: Config, after: Config) -> list[ListenerPlan]:
    old, new = listen_addresses(before), listen_addresses(after)
    plans = []
    for role in new:
        opened = tuple(address for address in new[role] if address not in old[role])
        closed = tuple(address for address in old[role] if address not in new[role])
        if opened or closed:
            plans.append(ListenerPlan(role, opened, closed))
    return plans
