"""The command line against the real admin API of a daemon whose parts are made up."""

import asyncio
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from mlxd.admin.app import build_admin_app, rules_of
from mlxd.cli import main
from mlxd.config.address import parse_address
from mlxd.config.schema import AdminTable
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from tests.support.pty_terminal import Terminal
from tests.support.statuses import FakeDaemon, model_status, running_status


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        """Of standard output, as they look."""
        return [line.rstrip() for line in self.out.splitlines()]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLXD_ADMIN_TOKEN", raising=False)
    with capture_logs():  # the daemon's, which would be on the command's output
        yield


@pytest.fixture
def daemon():
    return FakeDaemon(running_status("tiny", aliases=("default",)), running_status("org/Name-4bit"), model_status("other"))


@pytest.fixture
def run(capsys):
    """Run a command as its own program would; in a thread, for the daemon is on this one's event loop."""

    async def run(*arguments):
        try:
            code = await asyncio.to_thread(main, list(arguments))
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
async def serve(daemon, tmp_path):
    """Serve ``daemon`` by the rules of an ``[admin]`` table; the arguments that name it, without a token."""
    started = []

    async def start(**fields):
        listener = Listener(
            build_admin_app(daemon.sources, lambda: rules_of(AdminTable(**fields))), [parse_address(f"unix:{tmp_path}/a.sock")]
        )
        await listener.start()
        started.append(listener)
        return ("--admin", str(listener.addresses[0]))

    yield start
    for listener in started:
        await listener.stop()


@pytest.fixture
async def mlxd(run, serve):
    """Run a command against ``daemon``."""
    named = await serve()

    async def mlxd(*arguments):
        return await run(arguments[0], *named, *arguments[1:])

    return mlxd


@pytest.fixture
async def listen(daemon, tmp_path):
    """Serve ``daemon`` without rules; each call a listener that the test may stop."""
    started = []

    async def start():
        started.append(Listener(build_admin_app(daemon.sources, SecurityRules), [parse_address(f"unix:{tmp_path}/a.sock")]))
        await started[-1].start()
        return started[-1]

    yield start
    for listener in started:
        await listener.stop()


@pytest.fixture
def terminal():
    """Start ``mlxd`` with these arguments on a terminal."""
    started = []

    def start(*arguments, **environment):
        started.append(Terminal(*arguments, **environment))
        return started[-1]

    yield start
    for one in started:
        one.close()
