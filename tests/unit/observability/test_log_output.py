"""A log that cannot be written: full disks, lost directories, no descriptors, readers that stop. It costs lines, nothing else."""

import io
import json
import logging
import os
import stat
import subprocess
import sys
import textwrap

import pytest

from mlxd.config.schema import LogTable
from mlxd.observability.log_output import DROPPED, LineTarget, LogFile, LogOutput, LogStream
from mlxd.observability.logging import prepare_logging


@pytest.fixture
def dropped():
    """How many lines have been dropped since the test began."""
    before = DROPPED.total
    return lambda: DROPPED.total - before


class Fickle(LineTarget):
    def __init__(self):
        self.lines = []
        self.error = None

    def write(self, line):
        if self.error is not None:
            raise self.error
        self.lines.append(line)

    def close(self):
        pass


def record(text, level=logging.INFO):
    return logging.makeLogRecord({"name": "test", "levelno": level, "levelname": logging.getLevelName(level), "msg": text})


def say(output, *texts):
    for text in texts:
        output.handle(record(text))


def run(script, **options):
    """In a process of its own, whose limits and descriptors are its own: what it printed at its end."""
    prelude = """
        import errno, json, os, resource, sys
        import structlog
        from mlxd.config.schema import LogTable
        from mlxd.observability.log_output import DROPPED
        from mlxd.observability.logging import configure_logging
        log = structlog.get_logger()
    """
    command = [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script)]
    return subprocess.run(command, text=True, timeout=60, check=True, **{"capture_output": True} | options)


def events(text):
    return [json.loads(line)["event"] for line in text.splitlines()]


# ---- what is dropped is counted, and told once ----


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file"), RuntimeError("odd")])
def test_dropped_lines_are_counted_and_told_before_the_next_that_is_written(dropped, error):
    target = Fickle()
    output = LogOutput(target)
    output.setFormatter(logging.Formatter("%(message)s %(lines)s %(reason)s", defaults={"lines": "", "reason": ""}))
    say(output, "one")
    target.error = error
    say(output, "two", "three")
    assert dropped() == 2
    target.error = None
    say(output, "four", "five")
    reason = "No space left on device" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    assert target.lines == ["one  ", f"log_lines_dropped 2 {reason}", "four  ", "five  "]


def test_a_line_that_cannot_be_shown_is_dropped_too(dropped):
    class Unshowable:
        def __str__(self):
            raise RuntimeError("no text")

    target = Fickle()
    output = LogOutput(target)
    say(output, Unshowable(), "after")
    assert dropped() == 1
    assert target.lines == ["log_lines_dropped", "after"]


def test_the_notice_looks_like_every_other_line(dropped):
    prepared = prepare_logging(LogTable(format="json"), stream=io.StringIO())
    target = prepared.output.target = Fickle()
    target.error = OSError(28, "No space left on device")
    say(prepared.output, "one")
    target.error = None
    say(prepared.output, "two")
    notice = json.loads(target.lines[0])
    assert (notice["level"], notice["event"], notice["lines"], notice["reason"]) == (
        "warning", "log_lines_dropped", 1, "No space left on device",
    )  # fmt: skip


# ---- files ----


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full: Linux has it")  # noqa: PTH110
def test_a_full_disk_drops_lines(dropped):
    prepared = prepare_logging(LogTable(file="/dev/full"))
    say(prepared.output, "one", "two")
    prepared.discard()
    assert dropped() == 2


def test_a_disk_that_takes_half_a_line_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "mlxd.log"
    done = run(
        """
        configure_logging(LogTable(file=os.environ["FILE"]))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        log.info("first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(os.environ["FILE"]).st_size + 10, hard))
        log.info("torn")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        log.info("last")
        print(DROPPED.total)
        """,
        env=os.environ | {"FILE": str(path)},
    )
    first, torn, *rest = path.read_text().splitlines()
    assert len(torn) == 10
    assert events("\n".join([first, *rest])) == ["first", "log_lines_dropped", "last"]
    assert done.stdout == "1\n"
    assert done.stderr == ""


def test_a_removed_directory_drops_lines_until_it_is_back(tmp_path, dropped):
    path = tmp_path / "logs" / "mlxd.log"
    path.parent.mkdir()
    output = LogOutput(LogFile(path))
    say(output, "one")
    path.unlink()
    path.parent.rmdir()
    say(output, "two", "three")
    assert dropped() == 2
    path.parent.mkdir()
    say(output, "four")
    output.close()
    assert path.read_text().splitlines() == ["log_lines_dropped", "four"]


def test_a_renamed_directory_keeps_its_lines(tmp_path, dropped):
    path = tmp_path / "logs" / "mlxd.log"
    path.parent.mkdir()
    output = LogOutput(LogFile(path))
    path.parent.rename(tmp_path / "old")
    say(output, "one")
    output.close()
    assert (tmp_path / "old" / "mlxd.log").read_text() == "one\n"
    assert dropped() == 0


def test_without_a_descriptor_left_lines_go_on_to_the_rotated_file(tmp_path):
    path = tmp_path / "mlxd.log"
    done = run(
        """
        configure_logging(LogTable(file=os.environ["FILE"]))
        log.info("first")
        os.rename(os.environ["FILE"], os.environ["FILE"] + ".0")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE
        log.info("second")
        log.error("third", exc_info=ValueError("with a traceback"))
        os.close(held.pop())
        log.info("fourth")
        print(DROPPED.total)
        """,
        env=os.environ | {"FILE": str(path)},
    )
    assert events((tmp_path / "mlxd.log.0").read_text()) == ["first", "second", "third"]
    assert events(path.read_text()) == ["fourth"]
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_new_file_is_for_its_owner_alone_and_an_old_one_stays_as_it_was_made(tmp_path):
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.touch()
    old.chmod(0o640)
    for path in (new, old):
        LogFile(path).close()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o640]


def test_a_pipe_that_nobody_reads_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        LogFile(tmp_path / "pipe")


def test_what_is_closed_writes_into_nobody_s_file(tmp_path, dropped):
    """The number of a closed file is soon that of a client's socket."""
    output = LogOutput(LogFile(tmp_path / "mlxd.log"))
    output.close()
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    say(output, "late")
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b""
    assert dropped() == 1


# ---- standard error ----


def test_a_reader_that_has_stopped_costs_lines_and_no_time(dropped):
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "w") as stream:
        os.set_blocking(read_end, False)
        output = LogOutput(LogStream(stream))
        say(output, *["x" * 999] * 200)  # three times what a pipe holds: were it to block, the test would never end
        lost = dropped()
        assert lost > 0
        got = reader.read()
        say(output, "again")
        got += reader.read()
    lines = got.decode().splitlines()
    assert lines[-2:] == ["log_lines_dropped", "again"]
    assert lost == 200 - (len(lines) - 2)


def test_a_reader_that_is_gone_costs_lines(dropped):
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        os.close(read_end)
        output = LogOutput(LogStream(stream))
        say(output, "one")
    assert dropped() == 1


def test_a_long_line_passes_a_pipe_whole():
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "w") as stream:
        LogOutput(LogStream(stream)).handle(record("é" * 20_000))
        stream.close()
        assert reader.read().decode() == "é" * 20_000 + "\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full: Linux has it")  # noqa: PTH110
def test_standard_error_on_a_full_disk_does_not_end_the_process():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run("configure_logging(LogTable())\nlog.info('said')\nprint(DROPPED.total)", capture_output=False, stderr=full, stdout=-1)
    assert done.stdout == "1\n"
