"""``mlxd status --watch`` on a real terminal, with a daemon that goes away and comes back."""

import signal

import pytest

from mlxd.types import ModelState
from mlxd.wire.messages import Progress
from tests.support.statuses import model_status


@pytest.fixture
def watch(terminal, tmp_path):
    return lambda: terminal("status", "--watch", "0.1", "--admin", f"unix:{tmp_path}/a.sock")


async def test_it_follows_the_daemon_whether_or_not_it_is_there(listen, watch, daemon):
    listener = await listen()
    terminal = watch()
    await terminal.until("org/Name-4bit")
    daemon.models.all[1] = model_status("org/Name-4bit", ModelState.LOADING, progress=Progress(stage="fetching", done=1, total=2))
    await terminal.until("loading: fetching 50%")
    await listener.stop()
    await terminal.until("no answer for")
    daemon.models.all[1] = model_status("org/Name-4bit", ModelState.FAILED, last_error="no config.json")
    await listen()
    await terminal.until("failed")


async def test_the_first_answer_must_come(watch):
    terminal = watch()
    assert await terminal.end() == 69
    assert "no daemon listens on" in terminal.raw


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
async def test_the_cursor_is_back_however_it_ends(listen, watch, number, code):
    await listen()
    terminal = watch()
    await terminal.until("org/Name-4bit")
    terminal.process.send_signal(number)
    assert await terminal.end() == code
    assert "Traceback" not in terminal.raw
    assert terminal.raw.rstrip().endswith("\x1b[?25h")
