"""What mlxd gives back when the machine is short of memory, in which order, and when it takes it again. It is pure: levels and times in,
measures out.

::

    level      may go as far as                                   a step
    normal     nothing                                            down, every EASE seconds, after CALM seconds without need
    warning    HOLD_PROMPTS: buffers, blocks, caches, prompts     up, every 10 seconds
    critical   UNLOAD_USED: models too                            up, every 3 seconds

A level that calls for less than what is done lets it stand for CALM seconds: a machine that has just got memory back is soon short of it
again if all of it is taken at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mlxd.control.memory.pressure import PressureLevel
from mlxd.types import Restraint

CALM = 30.0  # seconds
EASE = 10.0
PACE = {PressureLevel.WARNING: 10.0, PressureLevel.CRITICAL: 3.0}
_PATIENCE = 30.0  # seconds that a large prompt waits, unless memory is critically short: then it is refused at once
_BUFFERS = 0.25  # of what MLX may keep otherwise
_HALF, _QUARTER = 0.5, 0.25  # of the caches' limits


class Measure(StrEnum):
    """The things that give memory back, in the order in which they are taken: the first cost least."""

    SHRINK_BUFFERS = "shrink_buffers"  # that MLX has freed and keeps to use again
    EVICT_BLOCKS = "evict_blocks"  # of caches, those that nobody uses now
    HALVE_CACHES = "halve_caches"
    QUARTER_CACHES = "quarter_caches"
    HOLD_PROMPTS = "hold_prompts"  # large ones wait, or are refused
    UNLOAD_IDLE = "unload_idle"  # models without requests that are not pinned, the least recently used first
    UNLOAD_USED = "unload_used"  # the least recently used of those that are not pinned, though they have requests


LADDER = tuple(Measure)
_HIGHEST = {
    PressureLevel.NORMAL: 0,
    PressureLevel.WARNING: 1 + LADDER.index(Measure.HOLD_PROMPTS),
    PressureLevel.CRITICAL: len(LADDER),
}


@dataclass(frozen=True)
class Resident:
    """A model with a worker. ``last_used`` is in monotonic seconds. Of one that ``is_leaving``, memory will be free without anybody's
    doing.
    """

    name: str
    is_busy: bool
    is_pinned: bool
    last_used: float
    is_leaving: bool = False


@dataclass(frozen=True)
class Taken:
    """A measure that is to be taken now, with the models that it concerns."""

    measure: Measure
    models: tuple[str, ...]


@dataclass(frozen=True)
class Lifted:
    """A measure that does not hold any more."""

    measure: Measure


@dataclass
class Governor:
    """A governor, which knows how far it has gone. ``large_prompt`` is in tokens."""

    large_prompt: int
    rung: int = 0  # how many measures of the ladder hold
    level: PressureLevel = PressureLevel.NORMAL
    _stepped: float | None = field(default=None, repr=False)  # when it went up last, or acted again
    _needed: float = field(default=0.0, repr=False)  # when the level called last for as much as is done
    _eased: float = field(default=0.0, repr=False)  # when it went down last

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures that hold."""
        return LADDER[: self.rung]

    @property
    def restraint(self) -> Restraint:
        """Returns what workers are held to."""
        holds = self.measures
        cache = _QUARTER if Measure.QUARTER_CACHES in holds else _HALF if Measure.HALVE_CACHES in holds else 1.0
        return Restraint(
            buffer_share=_BUFFERS if Measure.SHRINK_BUFFERS in holds else 1.0,
            cache_share=cache,
            largest_prompt=self.large_prompt if Measure.HOLD_PROMPTS in holds else None,
            patience=_PATIENCE if Measure.HOLD_PROMPTS in holds and self.level is not PressureLevel.CRITICAL else 0.0,
        )

    @property
    def admits_models(self) -> bool:
        """Tells whether a model may be loaded that has no worker: one that was unloaded for want of memory would be back at once."""
        return Measure.UNLOAD_IDLE not in self.measures

    def observe(self, now: float, level: PressureLevel, residents: Sequence[Resident]) -> list[Taken | Lifted]:
        """Returns what is to be done, in this order, at ``level``, with ``residents`` as they are."""
        self.level = level
        highest = _HIGHEST[level]
        if self.rung <= highest:
            self._needed = now
        if level is PressureLevel.NORMAL:
            self._stepped = None
        elif self._stepped is None or now - self._stepped >= PACE[level]:
            self._stepped = now
            return self._act(highest, residents)
        return self._ease(now, highest)

    def lift_all(self) -> list[Taken | Lifted]:
        """Returns what is lifted when nothing is to be given back any more, whatever the level."""
        lifted: list[Taken | Lifted] = [Lifted(measure) for measure in reversed(self.measures)]
        self.rung, self.level, self._stepped = 0, PressureLevel.NORMAL, None
        return lifted

    def _act(self, highest: int, residents: Sequence[Resident]) -> list[Taken | Lifted]:
        """Goes one up where it may, and takes again what gives more each time. Models go one by one, and those that are used only once
        nobody is left that is not.
        """
        again: list[Taken | Lifted] = []
        if Measure.EVICT_BLOCKS in self.measures:
            again.append(_of_all(Measure.EVICT_BLOCKS, residents))
        if self.admits_models or self.rung > highest:
            return [*again, *self._climb(highest, residents)]
        if any(one.is_leaving for one in residents):  # it may be enough
            return again
        victim = self._victim(residents)
        return [*again, victim] if victim is not None else [*again, *self._climb(highest, residents)]

    def _climb(self, highest: int, residents: Sequence[Resident]) -> list[Taken | Lifted]:
        if self.rung >= highest:
            return []
        self.rung += 1
        measure = LADDER[self.rung - 1]
        if measure in {Measure.UNLOAD_IDLE, Measure.UNLOAD_USED}:
            return [self._victim(residents) or Taken(measure, ())]
        return [_of_all(measure, residents)]

    def _victim(self, residents: Sequence[Resident]) -> Taken | None:
        """Returns the next model to go, if any may."""
        movable = [one for one in residents if not (one.is_pinned or one.is_leaving)]
        idle = [one for one in movable if not one.is_busy]
        if Measure.UNLOAD_IDLE in self.measures and idle:
            return Taken(Measure.UNLOAD_IDLE, (_least_recent(idle).name,))
        if Measure.UNLOAD_USED in self.measures and movable:
            return Taken(Measure.UNLOAD_USED, (_least_recent(movable).name,))
        return None

    def _ease(self, now: float, highest: int) -> list[Taken | Lifted]:
        if self.rung <= highest or now - self._needed < CALM or now - self._eased < EASE:
            return []
        self.rung -= 1
        self._eased = now
        return [Lifted(LADDER[self.rung])]


def _of_all(measure: Measure, residents: Sequence[Resident]) -> Taken:
    return Taken(measure, tuple(one.name for one in residents))


def _least_recent(residents: Sequence[Resident]) -> Resident:
    return min(residents, key=lambda one: one.last_used)
