"""How short of memory the whole machine is, by the system's own account. It takes one cheap read; nothing waits.

macOS says it itself: the sysctl ``kern.memorystatus_vm_pressure_level`` is 1, 2 or 4. Linux counts how long tasks stood still for want of
memory (PSI, ``/proc/pressure/memory``): a share of the last ten seconds in which some did, or all at once did ("full"), and mlxd draws the
lines. What is merely used or free says little: both systems fill what is free with caches.

In a control group of its own, as a container's, it is the group's stalls that count, and how near it is to its limit: a group without swap
that reaches ``memory.max`` has processes killed before anything has stood still for long.
"""

import ctypes
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

from mlxd.control.memory.cgroup import ControlGroup, Usage, own_group

# Percent of the last ten seconds. A tenth of the time is felt as slowness; when nothing at all moved for a tenth of the time, the
# system is busy with finding memory (systemd-oomd begins to kill at 60 % of "full").
WARNING_SOME = 10.0
CRITICAL_FULL = 10.0

# Of a group's limit, without files that can be dropped.
WARNING_USED = 0.92
CRITICAL_USED = 0.97

_PSI = Path("/proc/pressure/memory")
_SYSCTL = b"kern.memorystatus_vm_pressure_level"


class PressureLevel(IntEnum):
    """A level of pressure, by the number that is exported."""

    NORMAL = 0
    WARNING = 1
    CRITICAL = 2

    @property
    def label(self) -> Literal["normal", "warning", "critical"]:
        """Returns its name, as people and the admin API have it."""
        return _LABELS[self]


_LABELS: dict[PressureLevel, Literal["normal", "warning", "critical"]] = {
    PressureLevel.NORMAL: "normal",
    PressureLevel.WARNING: "warning",
    PressureLevel.CRITICAL: "critical",
}

_DARWIN = {1: PressureLevel.NORMAL, 2: PressureLevel.WARNING, 4: PressureLevel.CRITICAL}

ReadPressure = Callable[[], PressureLevel | None]  # None: this system does not tell


def pressure_reader(platform: str = sys.platform) -> ReadPressure:
    """Returns the reader for this machine; where the system does not tell, it reads None."""
    if platform == "darwin":
        return DarwinPressure()
    if platform != "linux":
        return lambda: None
    group = own_group()
    return LinuxPressure() if group is None else GroupPressure(group)


class DarwinPressure:
    """A reader for macOS. ``libc`` is the library that has ``sysctlbyname``."""

    def __init__(self, libc: Any = None) -> None:
        self._libc = libc or ctypes.CDLL(None)

    def __call__(self) -> PressureLevel | None:
        """Returns the level that the kernel tells; None where it tells none."""
        level, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
        failed = self._libc.sysctlbyname(_SYSCTL, ctypes.byref(level), ctypes.byref(size), None, ctypes.c_size_t(0))
        return None if failed else _DARWIN.get(level.value)


class LinuxPressure:
    """A reader for Linux. ``path`` is a file of the kernel's; not every kernel has it, and those that have it may have it switched off."""

    def __init__(self, path: Path = _PSI) -> None:
        self._path = path

    def __call__(self) -> PressureLevel | None:
        """Returns the level by the shares of the last ten seconds; None where the kernel does not tell them."""
        try:
            shares = dict(_share(line) for line in self._path.read_text().splitlines())
            some, full = shares["some"], shares["full"]
        except (OSError, ValueError, KeyError):
            return None
        if full >= CRITICAL_FULL:
            return PressureLevel.CRITICAL
        return PressureLevel.WARNING if some >= WARNING_SOME else PressureLevel.NORMAL


class GroupPressure:
    """A reader for a control group of Linux."""

    def __init__(self, group: ControlGroup) -> None:
        self._group = group
        self._stalls = LinuxPressure(group.pressure_file)

    def __call__(self) -> PressureLevel | None:
        """Returns the worse of what the group's stalls and its limit say; None where neither is told."""
        said = [level for level in (self._stalls(), _by_limit(self._group.tightest())) if level is not None]
        return max(said, default=None)


def _by_limit(usage: Usage | None) -> PressureLevel | None:
    if usage is None:
        return None
    if usage.used >= usage.limit * CRITICAL_USED:
        return PressureLevel.CRITICAL
    return PressureLevel.WARNING if usage.used >= usage.limit * WARNING_USED else PressureLevel.NORMAL


def _share(line: str) -> tuple[str, float]:
    """Reads the kind and the first number of a line like ``some avg10=0.00 avg60=0.00 avg300=0.00 total=0``."""
    kind, average, *_ = line.split()
    return kind, float(average.removeprefix("avg10="))
