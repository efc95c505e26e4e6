"""Reading the system's own word on memory: macOS through a libc that the test plays, Linux through a file."""

import sys

import pytest

from mlxd.control.memory.pressure import DarwinPressure, LinuxPressure, PressureLevel, pressure_reader

QUIET = "some avg10=0.00 avg60=12.00 avg300=50.00 total=1\nfull avg10=0.00 avg60=90.00 avg300=0.00 total=1\n"


class FakeLibc:
    """Answers one sysctl, as macOS would."""

    def __init__(self, level, *, result=0):
        self.level, self.result = level, result
        self.asked = []

    def sysctlbyname(self, name, old, old_size, new, new_size):
        self.asked.append((name, old_size._obj.value, new, new_size.value))
        old._obj.value = self.level
        return self.result


@pytest.mark.parametrize(("level", "expected"), [(1, PressureLevel.NORMAL), (2, PressureLevel.WARNING), (4, PressureLevel.CRITICAL)])
def test_macos_says_it_itself(level, expected):
    libc = FakeLibc(level)
    assert DarwinPressure(libc)() is expected
    assert libc.asked == [(b"kern.memorystatus_vm_pressure_level", 4, None, 0)]


def test_a_level_that_macos_does_not_have_yet_is_unknown():
    assert DarwinPressure(FakeLibc(8))() is None


def test_a_refused_sysctl_is_unknown():
    assert DarwinPressure(FakeLibc(1, result=-1))() is None


def psi(some, full):
    return f"some avg10={some} avg60=0.00 avg300=0.00 total=9\nfull avg10={full} avg60=0.00 avg300=0.00 total=9\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUIET, PressureLevel.NORMAL),
        (psi("9.99", "9.99"), PressureLevel.NORMAL),
        (psi("10.00", "0.00"), PressureLevel.WARNING),
        (psi("99.00", "9.99"), PressureLevel.WARNING),
        (psi("10.00", "10.00"), PressureLevel.CRITICAL),
        (psi("100.00", "87.20"), PressureLevel.CRITICAL),
    ],
)
def test_linux_by_the_last_ten_seconds(tmp_path, text, expected):
    path = tmp_path / "memory"
    path.write_text(text)
    assert LinuxPressure(path)() is expected


@pytest.mark.parametrize("text", ["", "some\n", "some avg10=much avg60=0\n", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"])
def test_what_linux_does_not_say_is_unknown(tmp_path, text):
    path = tmp_path / "memory"
    path.write_text(text)
    assert LinuxPressure(path)() is None


def test_a_kernel_without_psi_tells_nothing(tmp_path):
    assert LinuxPressure(tmp_path / "memory")() is None


def test_it_is_read_anew_each_time(tmp_path):
    path = tmp_path / "memory"
    path.write_text(QUIET)
    read = LinuxPressure(path)
    assert read() is PressureLevel.NORMAL
    path.write_text(psi("50.00", "50.00"))
    assert read() is PressureLevel.CRITICAL


def test_each_system_has_its_own_reader():
    assert isinstance(pressure_reader("darwin"), DarwinPressure)
    assert isinstance(pressure_reader("linux"), LinuxPressure)
    assert pressure_reader("freebsd")() is None
    assert pressure_reader(sys.platform)() in (None, *PressureLevel)
