"""Standard streams that are closed, full, or that nobody reads: commands say so, and a daemon serves all the same."""

import subprocess
import sys

import pytest

from mlxd.terminal import streams

MLXD = [sys.executable, "-m", "mlxd"]
VALIDATE = "import sys; from mlxd.cli import main; sys.exit(main(['schema']))"
NEEDS_FULL = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")


def run(script, shell_redirection=""):
    command = f'exec "$0" -c "$1" {shell_redirection}'
    return subprocess.run(["/bin/sh", "-c", command, sys.executable, script], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_are_replaced_and_their_numbers_stay_free(redirection):
    script = (
        "from mlxd.terminal.streams import open_standard_streams; open_standard_streams()\n"
        "import os, sys\n"
        "for stream in (sys.stdout, sys.stderr): print('said', file=stream, flush=True)\n"
        "assert [stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)] == [0, 1, 2]\n"
        "assert os.open('.', os.O_RDONLY) > 2\n"
    )
    assert run(script, redirection).returncode == 0


@NEEDS_FULL
def test_a_command_whose_output_is_lost_says_so():
    done = run(VALIDATE, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, "mlxd: No space left on device\n")


@NEEDS_FULL
def test_where_nothing_can_be_said_the_exit_code_says_it():
    assert run(VALIDATE, ">/dev/full 2>/dev/full").returncode == 1


def test_a_reader_that_is_satisfied_is_no_error():
    done = run(VALIDATE, "| head -c 1")
    assert done.stderr == ""


@NEEDS_FULL
def test_what_cannot_be_said_is_not_tried_again():
    script = (
        "import sys; from mlxd.terminal.streams import say\nsay('one', sys.stdout); say('two', sys.stdout); print('three', file=sys.stderr)"
    )
    done = run(script, ">/dev/full")
    assert (done.returncode, done.stderr) == (0, "three\n")


def test_a_closed_stream_is_no_reason_to_fail(tmp_path):
    with (tmp_path / "out").open("w") as stream:
        pass
    streams.say("late", stream)
