"""What a process takes from others, by the system's own account: memory that is its own, in RAM, compressed or swapped out.

macOS calls it the physical footprint, which holds what Metal allocates, too. Linux tells anonymous and shared memory and what of it is
swapped out (``/proc/PID/status``); files that are mapped are left out, for others may share them, and the system drops them when it wants.
"""

import ctypes
import functools
import sys
from pathlib import Path
from typing import Any

import psutil

_LINUX = ("RssAnon:", "RssShmem:", "VmSwap:")
_RUSAGE_INFO_V0 = 0
_KIB = 1024


class _RusageInfo(ctypes.Structure):
    """A record laid out as macOS's ``struct rusage_info_v0``."""

    _fields_ = (
        ("uuid", ctypes.c_uint8 * 16),
        *((name, ctypes.c_uint64) for name in ("user_time", "system_time", "idle_wakeups", "interrupt_wakeups", "pageins")),
        *((name, ctypes.c_uint64) for name in ("wired_size", "resident_size", "phys_footprint", "started", "exited")),
    )


def footprint(pid: int) -> int:
    """Returns the bytes that a process takes; 0 for one that is gone."""
    try:
        return _read(pid, sys.platform)
    except (OSError, psutil.Error):
        return 0


def _read(pid: int, platform: str) -> int:
    if platform == "darwin":
        return darwin_footprint(pid, _libc())
    if platform == "linux":
        return linux_footprint(Path(f"/proc/{pid}/status").read_text())
    return int(psutil.Process(pid).memory_info().rss)


def linux_footprint(status: str) -> int:
    """Reads the footprint from the text of ``/proc/PID/status``, in bytes. That of a process that has ended, but was not waited for, has
    no such lines: it takes nothing.
    """
    return sum(int(line.split()[1]) * _KIB for line in status.splitlines() if line.startswith(_LINUX))


def darwin_footprint(pid: int, libc: Any) -> int:
    """Asks macOS's ``proc_pid_rusage``, which ``libc`` has. Raises ``OSError`` for a process that it does not tell of."""
    found = _RusageInfo()
    if libc.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(_RUSAGE_INFO_V0), ctypes.byref(found)):
        raise OSError(f"proc_pid_rusage tells nothing of process {pid}")
    return int(found.phys_footprint)


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None)
