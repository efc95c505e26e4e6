"""The control group of a process, from files as Linux has them."""

import pytest

from mlxd.control.memory.cgroup import ControlGroup, Usage, own_group
from mlxd.control.memory.pressure import GroupPressure, PressureLevel

QUIET = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
STALLED = QUIET.replace("some avg10=0.00", "some avg10=40.00").replace("full avg10=0.00", "full avg10=30.00")


def group(directory, *, high="max", limit="max", current=100, files=0, pressure=QUIET):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.type").write_text("domain\n")
    (directory / "memory.high").write_text(f"{high}\n")
    (directory / "memory.max").write_text(f"{limit}\n")
    (directory / "memory.current").write_text(f"{current}\n")
    (directory / "memory.stat").write_text(f"anon 1\ninactive_file {files}\nactive_file 7\n")
    (directory / "memory.pressure").write_text(pressure)
    return directory


def proc(tmp_path, path, point, root="/"):
    """``/proc/self`` of a process in the group ``path``, with the hierarchy mounted at ``point``."""
    directory = tmp_path / "proc"
    directory.mkdir()
    (directory / "cgroup").write_text(f"4:memory:/old\n0::{path}\n")
    (directory / "mountinfo").write_text(
        f"20 1 0:5 / /proc rw - proc proc rw\n30 1 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    return directory


def test_a_service_s_group(tmp_path):
    mounted = tmp_path / "cgroup"
    group(mounted / "system.slice/mlxd.service", limit=1000)
    found = own_group(proc(tmp_path, "/system.slice/mlxd.service", mounted))
    assert found.tightest() == Usage(100, 1000)
    assert found.pressure_file == mounted / "system.slice/mlxd.service/memory.pressure"


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    mounted = group(tmp_path / "cgroup", high=500, limit=1000)
    assert own_group(proc(tmp_path, "/", mounted)).tightest() == Usage(100, 500)


def test_a_container_that_sees_the_whole_path_has_only_its_part_mounted(tmp_path):
    mounted = group(tmp_path / "cgroup", limit=1000)
    assert own_group(proc(tmp_path, "/docker/abc", mounted, root="/docker/abc")).tightest() == Usage(100, 1000)


def test_the_machine_s_own_root_is_no_group(tmp_path):
    mounted = tmp_path / "cgroup"
    mounted.mkdir()
    (mounted / "memory.pressure").write_text(QUIET)
    assert own_group(proc(tmp_path, "/", mounted)) is None


def test_where_there_are_no_groups_there_is_none(tmp_path):
    assert own_group(tmp_path) is None
    (tmp_path / "cgroup").write_text("4:memory:/old\n")
    (tmp_path / "mountinfo").write_text("")
    assert own_group(tmp_path) is None


def test_whoever_is_nearest_to_the_end_counts_and_files_that_can_be_dropped_do_not(tmp_path):
    outer = group(tmp_path / "pod", limit=1000, current=950, files=100)
    inner = group(outer / "mlxd", limit=500, current=100)
    assert ControlGroup(inner, tmp_path).tightest() == Usage(850, 1000)


def test_a_group_without_a_limit_has_none(tmp_path):
    assert ControlGroup(group(tmp_path / "one"), tmp_path).tightest() is None


@pytest.mark.parametrize(
    ("used", "pressure", "expected"),
    [
        (100, QUIET, PressureLevel.NORMAL),
        (930, QUIET, PressureLevel.WARNING),
        (980, QUIET, PressureLevel.CRITICAL),
        (100, STALLED, PressureLevel.CRITICAL),
        (930, STALLED, PressureLevel.CRITICAL),
    ],
)
def test_the_worse_of_stalls_and_limit_is_the_level(tmp_path, used, pressure, expected):
    directory = group(tmp_path / "one", limit=1000, current=used, pressure=pressure)
    assert GroupPressure(ControlGroup(directory, tmp_path))() is expected


def test_a_kernel_that_tells_no_stalls_tells_the_limit(tmp_path):
    directory = group(tmp_path / "one", limit=1000)
    (directory / "memory.pressure").unlink()
    assert GroupPressure(ControlGroup(directory, tmp_path))() is PressureLevel.NORMAL
    (directory / "memory.max").write_text("max\n")
    assert GroupPressure(ControlGroup(directory, tmp_path))() is None
