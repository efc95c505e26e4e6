"""One stream, always obeying the newest ``[log]`` table, and no secret or prompt in it."""

import io
import json
import logging
import subprocess
import sys
import warnings
from datetime import UTC, datetime

import pytest
import structlog

from mlxd.config.schema import LogTable
from mlxd.errors import ConfigError
from mlxd.observability.log_output import LogOutput
from mlxd.observability.logging import configure_logging, log_worker_record, reopen_log_file
from mlxd.wire.messages import LogRecord

AT_IMPORT = structlog.get_logger(__name__)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def logging_as_before():
    root, ours = logging.getLogger(), logging.getLogger("mlxd")
    levels = root.level, ours.level
    yield
    for handler in [each for each in root.handlers if isinstance(each, LogOutput)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(capture=False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def stream():
    return io.StringIO()


def configure(stream, **table):
    configure_logging(LogTable(**table), stream=stream)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_has_the_usual_keys_first(stream):
    configure(stream)
    structlog.contextvars.bind_contextvars(request_id="req_1")
    AT_IMPORT.info("request_finished", tokens=3, model="tiny")
    [line] = lines(stream)
    assert list(line) == ["time", "level", "event", "request_id", "model", "tokens"]
    assert (line["level"], line["event"], line["request_id"], line["model"], line["tokens"]) == (
        "info",
        "request_finished",
        "req_1",
        "tiny",
        3,
    )
    written = datetime.fromisoformat(line["time"])
    assert line["time"].endswith("Z")
    assert abs((datetime.now(UTC) - written).total_seconds()) < 60


def test_the_level_of_loggers_that_exist_already_changes(stream):
    configure(stream, level="warning")
    bound = AT_IMPORT.bind(model="tiny")
    for level, expected in [("warning", []), ("debug", ["debug", "info"]), ("info", ["info"]), ("error", [])]:
        stream.seek(0)
        stream.truncate()
        configure(stream, level=level)
        for logger in (AT_IMPORT, bound):
            logger.debug("said")
            logger.info("said")
        assert [line["level"] for line in lines(stream)] == expected * 2


def test_the_format_and_target_of_bound_loggers_change(stream):
    configure(stream)
    bound = AT_IMPORT.bind(model="tiny")
    other = io.StringIO()
    configure(other, format="console")
    bound.info("moved")
    assert stream.getvalue() == ""
    assert "moved" in other.getvalue()
    assert not other.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("made", "format_", "is_json"),
    [(io.StringIO, "auto", True), (Terminal, "auto", False), (Terminal, "json", True), (io.StringIO, "console", False)],
)
def test_format_auto_is_text_on_a_terminal_only(made, format_, is_json):
    stream = made()
    configure(stream, format=format_)
    AT_IMPORT.info("said")
    assert stream.getvalue().startswith("{") is is_json
    assert ("\x1b[" in stream.getvalue()) is (made is Terminal and not is_json)


def test_libraries_come_out_in_the_same_stream(stream):
    configure(stream, level="debug")
    logging.getLogger("aiohttp.server").error("bad %s", "request", extra={"peer": "127.0.0.1"})
    logging.getLogger("asyncio").debug("chatter")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", UserWarning, stacklevel=1)
    error, warning = lines(stream)
    assert (error["level"], error["event"], error["logger"], error["peer"]) == ("error", "bad request", "aiohttp.server", "127.0.0.1")
    assert warning["level"] == "warning"
    assert "old ways" in warning["event"]


def raise_with_secret():
    key = "s3cret-in-a-local"
    raise ValueError("boom" if key else "")


@pytest.mark.parametrize("logger", [AT_IMPORT, logging.getLogger("aiohttp.server")])
def test_a_traceback_is_structured_and_shows_no_locals(stream, logger):
    configure(stream)
    try:
        raise_with_secret()
    except ValueError:
        logger.exception("request_crashed")
    [line] = lines(stream)
    [error] = line["exception"]
    assert (error["exc_type"], error["exc_value"]) == ("ValueError", "boom")
    assert [frame["name"] for frame in error["frames"]][-1] == "raise_with_secret"
    assert "s3cret" not in stream.getvalue()


def test_a_traceback_on_the_console_is_plain_and_shows_no_locals():
    stream = Terminal()
    configure(stream)
    try:
        raise_with_secret()
    except ValueError:
        AT_IMPORT.exception("request_crashed")
    assert "ValueError: boom" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


@pytest.mark.parametrize("format_", ["json", "console"])
def test_prompts_appear_only_when_asked_for(stream, format_):
    configure(stream, format=format_)
    AT_IMPORT.info("request_finished", prompt="my diary", messages=[{"content": "my diary"}], completion="my diary")
    assert "diary" not in stream.getvalue()
    configure(stream, format=format_, content=True)
    AT_IMPORT.info("request_finished", prompt="my diary")
    assert "my diary" in stream.getvalue()


@pytest.mark.parametrize("field", ["token", "read_token", "api_key", "authorization"])
def test_secrets_never_appear(stream, field):
    configure(stream, content=True, level="debug")
    AT_IMPORT.debug("said", **{field: "hunter2"})
    logging.getLogger("aiohttp").warning("said", extra={field: "hunter2"})
    assert [line[field] for line in lines(stream)] == ["<redacted>"] * 2


def test_worker_records_join_the_stream(stream):
    configure(stream)
    log_worker_record("tiny", 42, LogRecord(level="debug", event="step_done"))
    log_worker_record("tiny", 42, LogRecord(level="warning", event="dtype_changed", fields={"to": "float32"}))
    log_worker_record("tiny", 42, LogRecord(level="warning", event="worker_stderr", fields={"line": "libc++abi: terminating"}))
    record, stderr = lines(stream)
    assert (record["level"], record["event"], record["model"], record["pid"], record["to"]) == (
        "warning",
        "dtype_changed",
        "tiny",
        42,
        "float32",
    )
    assert (stderr["level"], stderr["event"], stderr["line"], stderr["pid"]) == ("warning", "worker_stderr", "libc++abi: terminating", 42)


def test_a_worker_cannot_pass_for_another_or_break_the_call(stream):
    configure(stream)
    awkward = ["event", "level", "time", "model", "pid", "logger", "self", "method_name", "exc_info", "stack_info", "stacklevel"]
    fields = dict.fromkeys([*awkward, "extra", "name", "msg", "args", "event_args", "_record", "_from_structlog", "_logger", "_name"], "x")
    log_worker_record("tiny", 42, LogRecord(level="info", event="said", fields=fields))
    [line] = lines(stream)
    assert (line["event"], line["level"], line["model"], line["pid"]) == ("said", "info", "tiny", 42)
    assert line["model_"] == "x"


def test_what_json_cannot_hold_is_logged_all_the_same(stream):
    configure(stream)
    AT_IMPORT.info("odd", surrogate="\ud800", number=float("nan"), value=object())
    AT_IMPORT.info("odd", keys={(1, 2): 3}, path=ConfigError, raw=b"\xff")
    assert [line["event"] for line in lines(stream)] == ["odd", "odd"]


def test_no_field_drives_the_terminal():
    stream = Terminal()
    configure(stream)
    log_worker_record("tiny", 1, LogRecord(level="warning", event="worker_stderr", fields={"line": "\x1b]0;owned\x07"}))
    AT_IMPORT.info("said\x1b[2J", path="/\x1b[2J\nfake line")
    assert "\x1b]0;" not in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_a_file_is_reopened_after_rotation(tmp_path, stream):
    path = tmp_path / "mlxd.log"
    configure(stream, file=str(path))
    AT_IMPORT.info("first")
    path.rename(tmp_path / "mlxd.log.0")
    reopen_log_file()
    assert path.exists()
    AT_IMPORT.info("second")
    path.unlink()
    AT_IMPORT.info("third")
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["third"]
    assert "first" in (tmp_path / "mlxd.log.0").read_text()
    assert stream.getvalue() == ""


def test_a_file_that_cannot_be_opened_leaves_the_log_as_it_was(tmp_path, stream):
    configure(stream)
    with pytest.raises(ConfigError, match=r"log\.file: cannot append to .*missing/mlxd\.log: No such file or directory"):
        configure_logging(LogTable(file=str(tmp_path / "missing" / "mlxd.log")))
    AT_IMPORT.info("still here")
    assert [line["event"] for line in lines(stream)] == ["still here"]


def test_configuring_twice_writes_each_line_once(stream):
    configure(stream)
    configure(stream)
    AT_IMPORT.info("said")
    assert len(lines(stream)) == 1


def test_standard_error_is_the_default():
    script = (
        "import structlog; from mlxd.config.schema import LogTable; from mlxd.observability.logging import configure_logging\n"
        "configure_logging(LogTable()); structlog.get_logger().info('said', word='\\u00e9\\u4f60')"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert ran.stdout == b""
    assert json.loads(ran.stderr)["word"] == "é你"


def test_a_log_file_beside_the_watched_configuration_does_not_feed_itself(stream):
    """watchfiles logs each event of the directory, and each line it logs there would be an event."""
    for level, expected in [("debug", [logging.WARNING]), ("error", [])]:
        stream.seek(0)
        stream.truncate()
        configure(stream, level=level)
        for number in (logging.INFO, logging.WARNING):
            logging.getLogger("watchfiles.main").log(number, "1 change detected")
        assert [logging.getLevelNamesMapping()[line["level"].upper()] for line in lines(stream)] == expected
