"""What the governor decides, done: workers are held to less, caches evicted, models unloaded; and all of it told."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from mlxd.config.schema import MemoryTable
from mlxd.control.memory.governor import Governor, Lifted, Measure, Taken
from mlxd.control.memory.holder import Holder
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.memory.pressure import PressureLevel, ReadPressure
from mlxd.errors import MlxdError
from mlxd.wire.messages import CacheEvicted

INTERVAL = 1.0  # seconds
_KEPT = 20  # entries of the record

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReliefSettings:
    """The configuration's part: whether anything is done at all, and what a large prompt is, in tokens."""

    is_on: bool
    large_prompt: int


def relief_settings(table: MemoryTable) -> ReliefSettings:
    """Returns what ``table`` says of it."""
    return ReliefSettings(is_on=table.pressure == "auto", large_prompt=table.large_prompt)


@dataclass(frozen=True)
class ReliefEntry:
    """A line of the record. ``freed`` is in bytes, None where nobody knows."""

    when: float  # Unix time
    measure: Measure
    is_lifted: bool
    level: PressureLevel
    models: tuple[str, ...] = ()
    freed: int | None = None


@dataclass(frozen=True)
class ReliefState:
    """How far mlxd has given way, and what it did last, newest first. ``level`` None: the system does not tell."""

    is_on: bool = False
    level: PressureLevel | None = None
    measures: tuple[Measure, ...] = ()
    record: tuple[ReliefEntry, ...] = ()


class ReliefTelemetry(Protocol):
    """A sink of what was done."""

    def measure_taken(self, measure: str) -> None:
        """Counts that the measure of this name was taken."""

    def measures_hold(self, count: int) -> None:
        """Takes in how many measures hold now."""


class MemoryRelief:
    """The hands of the governor, over the models of ``memory``. ``evict`` drops what the cache of one keeps for later requests, and
    ``settings`` are asked at each look.
    """

    def __init__(
        self,
        memory: ModelMemory,
        *,
        evict: Callable[[str], Awaitable[CacheEvicted]],
        read: ReadPressure,
        settings: Callable[[], ReliefSettings],
        telemetry: ReliefTelemetry,
    ) -> None:
        self._memory = memory
        self._evict = evict
        self._read = read
        self._settings = settings
        self._telemetry = telemetry
        self._governor = Governor(settings().large_prompt)
        self._level: PressureLevel | None = None
        self._record: deque[ReliefEntry] = deque(maxlen=_KEPT)
        self._evicting: dict[str, asyncio.Task[None]] = {}

    @property
    def state(self) -> ReliefState:
        """Returns how things are."""
        return ReliefState(self._settings().is_on, self._level, self._governor.measures, tuple(reversed(self._record)))

    async def run(self) -> None:
        """Looks at the memory once a second, until it is cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(INTERVAL)

    def look(self, now: float) -> None:
        """Takes in how the memory is at ``now``, in monotonic seconds, and does what follows."""
        self._memory.measure()
        settings, self._level = self._settings(), self._read()
        self._governor.large_prompt = settings.large_prompt
        models = {one.name: one for one in self._memory.holders()}
        residents = [known for one in models.values() if (known := one.resident) is not None]
        level = self._level or PressureLevel.NORMAL
        steps = self._governor.observe(now, level, residents) if settings.is_on else self._governor.lift_all()
        for step in steps:
            self._do(step, models)
        self._telemetry.measures_hold(self._governor.rung)
        self._memory.restrain(self._governor.restraint, admits_models=self._governor.admits_models)

    def _do(self, step: Taken | Lifted, models: Mapping[str, Holder]) -> None:
        if isinstance(step, Lifted):
            self._note(step.measure, is_lifted=True)
            return
        match step.measure:
            case Measure.EVICT_BLOCKS:
                self._begin_evicting(step.models)
                return
            case Measure.UNLOAD_IDLE | Measure.UNLOAD_USED:
                for name in step.models:
                    models[name].unload()
        self._note(step.measure, models=step.models)

    def _begin_evicting(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._evicting:
                self._evicting[name] = asyncio.create_task(self._evict_one(name), name=f"evict {name}")

    async def _evict_one(self, name: str) -> None:
        try:
            evicted = await self._evict(name)
        except MlxdError as error:  # it went, or became another, meanwhile
            _log.info("memory_relief_missed", measure=Measure.EVICT_BLOCKS.value, model=name, reason=error.message)
        else:
            if evicted.entries:
                self._note(Measure.EVICT_BLOCKS, models=(name,), freed=evicted.bytes)
        finally:
            del self._evicting[name]

    def _note(self, measure: Measure, *, is_lifted: bool = False, models: tuple[str, ...] = (), freed: int | None = None) -> None:
        level = self._governor.level
        self._record.append(ReliefEntry(time.time(), measure, is_lifted, level, models, freed))
        told = {"models": list(models)} | ({} if freed is None else {"freed": freed})
        if is_lifted:
            _log.info("memory_relief_lifted", measure=measure.value, pressure=level.label)
        else:
            self._telemetry.measure_taken(measure.value)
            _log.warning("memory_relief_taken", measure=measure.value, pressure=level.label, **told)
