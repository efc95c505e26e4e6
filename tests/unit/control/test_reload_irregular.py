"""A configuration file that is no regular file while the daemon runs: a pipe nobody writes to must hold up no reload."""

import asyncio
import os

import pytest

from mlxd.config.loader import load_config
from mlxd.control.planner import Room
from mlxd.control.reload import Reloader, Result, Trigger
from mlxd.service.wait_for_config import _load

TEXT = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'


class Host:
    """Runs one configuration for ever."""

    def __init__(self, running):
        self.running = running

    def room(self):
        return Room(0, {})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mlxd.toml"


@pytest.fixture
def pipe(path):
    os.mkfifo(path)
    return path


async def within_seconds(ask, pipe):
    """Frees whoever waits for the pipe after all, so that a failing test ends."""
    try:
        return await asyncio.wait_for(ask, 10)
    finally:
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


@pytest.fixture
def reloader(path):
    path.write_text(TEXT)
    loaded = load_config(path)
    path.unlink()
    return Reloader(Host(loaded), told=lambda *_: None, environ={})


@pytest.mark.parametrize("ask", [lambda reloader: reloader.reload(Trigger.API), lambda reloader: reloader.dry_run()])
async def test_a_pipe_is_refused_at_once_and_named(reloader, pipe, ask):
    outcome = await within_seconds(ask(reloader), pipe)
    assert outcome.result is Result.INVALID
    assert outcome.problems == (f"{pipe}: found a pipe or a device, which is read at the start alone; put a regular file there",)


@pytest.mark.parametrize(
    ("target", "problem"), [("/dev/zero", "a pipe or a device"), ("mlxd.toml", "cannot be read"), ("none", "no such file")]
)
async def test_a_link_is_judged_by_what_it_leads_to(reloader, path, target, problem):
    path.symlink_to(target)
    assert problem in (await reloader.reload(Trigger.API)).problems[0]


async def test_waiting_for_a_valid_file_waits_for_no_pipe(pipe):
    found = await within_seconds(asyncio.to_thread(_load, pipe, lambda _: None), pipe)
    assert "a pipe or a device" in str(found)
