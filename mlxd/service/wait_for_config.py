"""``mlxd serve --wait-for-valid-config``: a start with a bad configuration waits until it is good.

For launchd, which restarts whatever fails and cannot be told that exit code 78 will be the same again: without this a typing mistake
is a restart every few seconds. systemd needs no such thing (``RestartPreventExitStatus=78``).
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import structlog

from mlxd.config.document import decode, read_regular
from mlxd.config.loader import LoadedConfig, parse_config
from mlxd.config.schema import LogTable
from mlxd.config.watcher import FileWatcher
from mlxd.errors import ConfigError
from mlxd.observability.logging import check_log_file, configure_logging

Check = Callable[[LoadedConfig], None]

_RETRY = 10.0  # seconds; what is wrong may lie outside the file: a secret's file, the log's directory

_log = structlog.get_logger(__name__)


def wait_for_valid_config(path: Path, check: Check) -> LoadedConfig | None:
    """Returns the configuration once it is valid; None where TERM or INT comes first. Problems are logged to standard error, those with
    other files that ``check`` raises as ``ConfigError`` too.
    """
    loaded = _load(path, check)
    if isinstance(loaded, LoadedConfig):
        return loaded
    configure_logging(LogTable())  # as if the file said nothing
    return asyncio.run(_wait(path, check))


async def _wait(path: Path, check: Check) -> LoadedConfig | None:
    return await _Wait(path, check).run()


class _Wait:
    """A wait is made on the event loop."""

    def __init__(self, path: Path, check: Check) -> None:
        self._path = path
        self._check = check
        self._problems: list[str] = []  # the last that were logged
        self._stopped = False
        self._wake = asyncio.Event()

    async def run(self) -> LoadedConfig | None:
        self._handle_signals()
        watching = asyncio.create_task(FileWatcher(self._path, self._wake.set, seen="").run())
        try:
            while True:
                self._wake.clear()
                loaded = await asyncio.to_thread(_load, self._path, self._check)
                if self._stopped:
                    return None
                if isinstance(loaded, LoadedConfig):
                    _log.info("config_valid", path=str(self._path))
                    return loaded
                self._log_problems(loaded.problems)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY):
                        await self._wake.wait()
        finally:
            watching.cancel()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._wake.set)

    def _stop(self, number: signal.Signals) -> None:
        self._stopped = True
        self._wake.set()
        _log.info("signal_received", signal=number.name)

    def _log_problems(self, problems: list[str]) -> None:
        if problems != self._problems:
            _log.error("config_invalid", path=str(self._path), problems=problems, waiting="until the file is valid")
            self._problems = problems


def _load(path: Path, check: Check) -> LoadedConfig | ConfigError:
    try:
        loaded = parse_config(decode(read_regular(path), path), path, os.environ)
        check_log_file(loaded.config.log)
        check(loaded)
    except ConfigError as error:
        return error
    return loaded
