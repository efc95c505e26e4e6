"""``mlxd status --watch`` on a real terminal, with a daemon that goes away and comes back."""

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import termios

import pytest

from mlxd.admin.app import build_admin_app
from mlxd.config.address import parse_address
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from mlxd.types import ModelState
from mlxd.wire.messages import Progress
from tests.support.statuses import model_status

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a terminal of 100 columns and 30 lines."""

    def __init__(self, *arguments):
        self._own, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (30, 100))
        command = [sys.executable, "-m", "mlxd", *arguments]
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.raw = ""

    async def until(self, text):
        """Read until ``text`` is drawn, beyond what was drawn before."""
        seen = ""
        async with asyncio.timeout(30):
            while text not in CONTROL.sub("", seen):
                seen += await self._read()

    async def end(self):
        """Read to the end; the exit code."""
        while await self._read():
            continue
        os.close(self._own)
        return await asyncio.to_thread(self.process.wait, 30)

    async def _read(self):
        try:
            data = (await asyncio.to_thread(os.read, self._own, 65536)).decode(errors="replace")
        except OSError:  # how Linux says that nobody has it open any more
            return ""
        self.raw += data
        return data


@pytest.fixture
async def serve(daemon, tmp_path):
    started = []

    async def start():
        started.append(Listener(build_admin_app(daemon.sources, SecurityRules), [parse_address(f"unix:{tmp_path}/a.sock")]))
        await started[-1].start()
        return started[-1]

    yield start
    for listener in started:
        await listener.stop()


@pytest.fixture
def watch(tmp_path):
    started = []

    def start(*more):
        started.append(Terminal("status", "--watch", "0.1", "--admin", f"unix:{tmp_path}/a.sock", *more))
        return started[-1]

    yield start
    for terminal in started:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


async def test_it_follows_the_daemon_whether_or_not_it_is_there(serve, watch, daemon):
    listener = await serve()
    terminal = watch()
    await terminal.until("org/Name-4bit")
    daemon.models.all[1] = model_status("org/Name-4bit", ModelState.LOADING, progress=Progress(stage="fetching", done=1, total=2))
    await terminal.until("loading: fetching 50%")
    await listener.stop()
    await terminal.until("no answer for")
    daemon.models.all[1] = model_status("org/Name-4bit", ModelState.FAILED, last_error="no config.json")
    await serve()
    await terminal.until("failed")


async def test_the_first_answer_must_come(watch):
    terminal = watch()
    assert await terminal.end() == 69
    assert "no daemon listens on" in terminal.raw


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
async def test_the_cursor_is_back_however_it_ends(serve, watch, number, code):
    await serve()
    terminal = watch()
    await terminal.until("org/Name-4bit")
    terminal.process.send_signal(number)
    assert await terminal.end() == code
    assert "Traceback" not in terminal.raw
    assert terminal.raw.rstrip().endswith("\x1b[?25h")
