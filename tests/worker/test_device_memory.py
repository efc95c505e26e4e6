"""The seam to the device's memory: buffers, what stays resident, what the allocator keeps."""

import mlx.core as mx
import pytest

from mlxd.types import ResolvedLimits, Restraint
from mlxd.worker.runtime import device
from mlxd.worker.runtime.device import MlxMemory, WiredMemory


def limits(**fields):
    return ResolvedLimits(cache_bytes=0, **fields)


@pytest.fixture
def asked(monkeypatch):
    """What MLX and the C library are asked for."""
    found = []
    monkeypatch.setattr(mx, "set_cache_limit", lambda size: found.append(("buffers", size)))
    monkeypatch.setattr(mx, "clear_cache", lambda: found.append("clear"))
    monkeypatch.setattr(mx, "set_wired_limit", lambda size: found.append(("wired", size)))
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(device, "_malloc_trim", lambda: lambda pad: found.append(("trim", pad)))
    monkeypatch.setattr(device, "WIRED", WiredMemory())
    return found


def test_buffers_have_a_limit_which_restraint_lowers_and_what_is_beyond_goes_at_once(asked):
    memory = MlxMemory(1000)
    memory.hold_to(limits())
    assert asked == [("buffers", 1000)]
    memory.hold_to(limits(restraint=Restraint(buffer_share=0.25)))
    memory.hold_to(limits(restraint=Restraint(buffer_share=0.25)))
    assert asked[1:] == [("buffers", 250), "clear", ("trim", 0)]
    memory.hold_to(limits())
    assert asked[4:] == [("buffers", 1000)]


def test_memory_stays_resident_as_wished_and_what_a_library_sets_is_undone(asked):
    memory = MlxMemory(1000)
    memory.hold_to(limits(wired_bytes=77))
    memory.hold_to(limits(wired_bytes=77))
    assert asked[1:] == [("wired", 77)]
    device.WIRED.restore()
    memory.hold_to(limits())
    assert asked[2:] == [("wired", 77), ("wired", 0)]


def test_what_the_system_does_not_allow_is_none(asked, monkeypatch):
    def refuse(size):
        asked.append(("wired", size))
        if size:
            raise ValueError("beyond iogpu.wired_limit_mb")

    monkeypatch.setattr(mx, "set_wired_limit", refuse)
    MlxMemory(1000).hold_to(limits(wired_bytes=77))
    assert asked[1:] == [("wired", 77), ("wired", 0)]


def test_no_other_device_keeps_anything_resident(asked, monkeypatch):
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    MlxMemory(1000).hold_to(limits(wired_bytes=77))
    assert asked == [("buffers", 1000)]


def test_the_heap_is_tidied_once_in_a_while(asked, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(device.time, "monotonic", lambda: clock[0])
    memory = MlxMemory(1000)
    memory.tidy(20.0)
    clock[0] += 20
    memory.tidy(120.0)
    assert asked == [("buffers", 1000)]
    memory.tidy(20.0)
    memory.tidy(20.0)
    assert asked[1:] == [("trim", 0)]


def test_all_that_was_freed_and_is_kept_is_given_back_and_the_heap_is_tidy_then(asked, monkeypatch):
    monkeypatch.setattr(device.time, "monotonic", lambda: 100.0)
    memory = MlxMemory(1000)
    memory.release()
    memory.tidy(20.0)
    assert asked[1:] == ["clear", ("trim", 0)]
