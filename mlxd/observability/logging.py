"""Logs: one stream for the daemon, its libraries and its workers.

structlog hands every event to the standard library's ``mlxd`` logger, and one handler of ours on the root
logger renders both structlog's events and foreign records. Level, format and target live in that handler
and in the loggers' levels, never in the structlog loggers themselves, so ``configure_logging`` may be
called again at any time and every logger obeys: those obtained at import, and those bound since the first call.
(``get_logger().bind()`` at import is the one thing to avoid: it would freeze structlog's own defaults.)
"""

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import structlog
from structlog.typing import Processor

from mlxd.config.schema import LogTable
from mlxd.errors import ConfigError
from mlxd.observability.log_format import console_text, json_lines, withhold_content, withhold_secrets
from mlxd.observability.log_output import LogFile, LogOutput, LogStream
from mlxd.wire.messages import LogRecord

_LEVELS = logging.getLevelNamesMapping()
_OUR_KEYS = {"event", "level", "time", "model", "pid", "logger"}
_MEANT_FOR_CALLS = {"self", "method_name", "exc_info", "stack_info", "stacklevel", "extra"}  # structlog or logging would act on them
_RESERVED = frozenset(_OUR_KEYS | _MEANT_FOR_CALLS)

_ours = logging.getLogger("mlxd")


@dataclass(frozen=True)
class PreparedLogging:
    """A log that can take over without anything that might fail: its file is open. One of ``commit``, ``swap`` and ``discard`` is to be
    called, once.
    """

    table: LogTable
    output: LogOutput | None  # None: lines go where they went, only the level is another

    def commit(self) -> None:
        """Takes over, at once and for every logger there is."""
        before = current_logging()
        self.swap()
        before.close()

    def swap(self) -> None:
        """Takes over as ``commit``, but what was before is still open: it can be put back."""
        if self.output is not None:
            _write_to([self.output])
        set_log_level(self.table.level)
        logging.captureWarnings(capture=True)
        _configure_structlog()

    def discard(self) -> None:
        """Gives the new log up; the log stays as it was."""
        if self.output is not None:
            self.output.close()


@dataclass(frozen=True)
class CurrentLogging:
    """The place where lines went at some moment, and from which level on."""

    outputs: tuple[LogOutput, ...]
    level: str

    def put_back(self) -> None:
        """Puts the log back as it was then. Outputs that came since are closed."""
        since = [one for one in current_logging().outputs if one not in self.outputs]
        _write_to(self.outputs)
        set_log_level(self.level)
        for one in since:
            one.close()

    def close(self) -> None:
        """Closes those of its outputs that are not in use any more."""
        now = current_logging().outputs
        for one in self.outputs:
            if one not in now:
                one.close()


def current_logging() -> CurrentLogging:
    """Returns where lines go now."""
    return CurrentLogging(tuple(each for each in logging.getLogger().handlers if isinstance(each, LogOutput)), log_level())


def _write_to(outputs: Iterable[LogOutput]) -> None:
    root, wanted = logging.getLogger(), list(outputs)
    before = [each for each in root.handlers if isinstance(each, LogOutput)]
    for one in wanted:
        root.addHandler(one)
    for old in before:
        if old not in wanted:
            root.removeHandler(old)


def prepare_logging(log: LogTable, *, stream: TextIO | None = None) -> PreparedLogging:
    """Does everything about ``log`` that can fail; ``stream`` defaults to standard error.

    Raises ``ConfigError`` when ``log.file`` cannot be opened; what was configured before then stays.
    """
    stream = stream or sys.stderr
    output = LogOutput(_open_file(log.file) if log.file else LogStream(stream))
    output.setFormatter(_formatter(log, stream))
    return PreparedLogging(log, output)


def configure_logging(log: LogTable, *, stream: TextIO | None = None) -> None:
    """Takes over ``log``, at start and again at every change. Parameters and errors are those of ``prepare_logging``."""
    prepare_logging(log, stream=stream).commit()


def check_log_file(log: LogTable) -> None:
    """Raises ``ConfigError`` when ``log.file`` cannot be opened; nothing else happens."""
    prepare_logging(log).discard()


def set_log_level(level: str) -> None:
    """Sets the level until ``configure_logging`` is called next."""
    number = _LEVELS[level.upper()]
    logging.getLogger().setLevel(max(number, logging.INFO))  # the chatter of libraries at "debug" helps nobody
    logging.getLogger("watchfiles").setLevel(max(number, logging.WARNING))  # it tells of each event in a directory: of our own log's too
    _ours.setLevel(number)


def log_level() -> str:
    """Returns the level in force."""
    return logging.getLevelName(_ours.level).lower()


def reopen_log_file() -> None:
    """Opens the log file anew after log rotation. (A renamed or removed file is noticed by itself at the next line.)"""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogOutput):
            handler.reopen()


def log_worker_record(model: str, pid: int | None, record: LogRecord) -> None:
    """Logs a worker's line, in the daemon's stream. Its own words for our keys get a trailing underscore."""
    fields = {f"{key}_" if key in _RESERVED else key: value for key, value in record.fields.items()}
    structlog.get_logger().log(_LEVELS[record.level.upper()], record.event, model=model, pid=pid, **fields)


def _open_file(name: str) -> LogFile:
    path = Path(name).expanduser()
    try:
        return LogFile(path)
    except OSError as error:
        raise ConfigError(
            [f"log.file: cannot append to {path}: {error.strerror}; name a file in a directory that mlxd may write"]
        ) from error


def _formatter(log: LogTable, stream: TextIO) -> logging.Formatter:
    on_terminal = not log.file and stream.isatty()
    as_text = log.format == "console" or (log.format == "auto" and on_terminal)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_annotate(), structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            withhold_secrets,
            *([] if log.content else [withhold_content]),
            *(console_text(colors=on_terminal) if as_text else json_lines()),
        ],
    )


def _configure_structlog() -> None:
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_annotate(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=lambda *_: _ours,
        cache_logger_on_first_use=False,
    )


def _annotate() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
