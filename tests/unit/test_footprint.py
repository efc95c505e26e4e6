"""What a process takes, by the system's own account."""

import ctypes
import subprocess
import sys

import pytest

from mlxd.footprint import darwin_footprint, footprint, linux_footprint

STATUS = """Name:\tpython
VmRSS:\t  250000 kB
RssAnon:\t   90000 kB
RssFile:\t  150000 kB
RssShmem:\t   10000 kB
VmSwap:\t    5000 kB
"""


def test_linux_counts_what_is_the_process_s_own_swapped_out_or_not():
    assert linux_footprint(STATUS) == 105_000 * 1024


def test_one_that_has_ended_and_was_not_waited_for_takes_nothing():
    assert linux_footprint("Name:\tpython\nState:\tZ (zombie)\n") == 0


class FakeLibc:
    """Answers ``proc_pid_rusage`` as macOS does: the physical footprint is the eighth number behind 16 bytes."""

    def __init__(self, size, result=0):
        self.size, self.result = size, result

    def proc_pid_rusage(self, pid, flavour, buffer):
        assert (pid.value, flavour.value) == (42, 0)
        ctypes.c_uint64.from_address(ctypes.addressof(buffer._obj) + 16 + 7 * 8).value = self.size
        return self.result


def test_macos_tells_the_physical_footprint():
    assert darwin_footprint(42, FakeLibc(2**33)) == 2**33


def test_what_macos_does_not_tell_is_an_error():
    with pytest.raises(OSError, match="process 42"):
        darwin_footprint(42, FakeLibc(0, result=-1))


@pytest.mark.skipif(sys.platform not in {"linux", "darwin"}, reason="elsewhere it is the resident memory")
def test_it_grows_by_what_a_process_takes_and_is_nothing_without_one():
    """A process that takes 64 MiB more than another."""
    hold = "import sys; kept = b'x' * int(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    sizes = []
    for amount in (0, 64 * 2**20):
        with subprocess.Popen([sys.executable, "-c", hold, str(amount)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            sizes.append(footprint(process.pid))
            process.stdin.close()
    assert sizes[1] - sizes[0] >= 60 * 2**20
    assert footprint(process.pid) == 0
