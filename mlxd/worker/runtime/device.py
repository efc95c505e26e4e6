"""The device that MLX computes on: which one it is, what its memory holds, and what of it is kept."""

import ctypes
import functools
import logging
import sys
import time
from typing import Any

import mlx.core as mx
from typing_extensions import override

from mlxd.types import ResolvedLimits
from mlxd.worker.engine.device_memory import DeviceMemory

_log = logging.getLogger(__name__)


def detect_device() -> str:
    """Returns "gpu" or "cpu" after evaluating an array: a Metal build of MLX says it is available also where no device is."""
    try:
        with mx.stream(mx.gpu):
            mx.eval(mx.zeros(1) + 1)
    except (RuntimeError, ValueError):
        mx.set_default_device(mx.cpu)
        return "cpu"
    return "gpu"


def working_set(device: str) -> int | None:
    """Returns the bytes that Metal recommends to use at most, all processes together; None on devices that have no such figure."""
    recommended = mx.device_info().get("max_recommended_working_set_size") if device == "gpu" else None
    return int(recommended) if recommended else None


def release_buffers() -> None:
    """Gives back what MLX has freed and keeps to use again, and what the C library's allocator keeps of what was freed to it."""
    mx.clear_cache()
    _trim_heap()


def _trim_heap() -> None:
    """Has glibc give back what it keeps: in each thread's arena, also what other threads have freed there."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


class WiredMemory:
    """The memory that Metal keeps resident for this process: none, unless the operator wants some. MLX has no getter, and libraries set the
    limit for themselves: a wired limit under concurrency has panicked macOS kernels (ml-explore/mlx#3186).
    """

    def __init__(self) -> None:
        self._wished = 0

    def set(self, size: int) -> None:
        """Keeps ``size`` bytes resident from now on, or as many as the system allows."""
        if size != self._wished:
            self._wished = size
            self.restore()

    def restore(self) -> None:
        """Undoes what a library may have set."""
        if not mx.metal.is_available():
            return
        try:
            mx.set_wired_limit(self._wished)
        except ValueError as error:  # beyond the working set, or what the kernel was told (iogpu.wired_limit_mb)
            _log.warning("memory.wired_limit: %d bytes cannot be kept resident, so none are: %s", self._wished, error)
            mx.set_wired_limit(0)


WIRED = WiredMemory()  # of this process, as MLX has it


class MlxMemory(DeviceMemory):
    """MLX's memory on this process's device, where it may keep ``buffers`` bytes of what was freed."""

    def __init__(self, buffers: int) -> None:
        self._buffers = buffers
        self._share = 1.0
        self._tidied = time.monotonic()
        mx.set_cache_limit(buffers)  # MLX would keep every buffer it ever had, and no ledger knows of those

    @override
    def hold_to(self, limits: ResolvedLimits) -> None:
        share = limits.restraint.buffer_share
        if share != self._share:
            mx.set_cache_limit(int(self._buffers * share))
        if share < self._share:
            release_buffers()
        self._share = share
        WIRED.set(limits.wired_bytes)

    @override
    def release(self) -> None:
        self._tidied = time.monotonic()
        release_buffers()

    @override
    def tidy(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._tidied >= seconds:
            self._tidied = now
            _trim_heap()


@functools.cache
def _malloc_trim() -> Any:
    """Returns glibc's ``malloc_trim``; None in another C library."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
