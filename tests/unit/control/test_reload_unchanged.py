"""A reload that finds nothing to take over: the watcher was faster than who asks, and models may still be on their way."""

import asyncio

import pytest

from mlxd.config.loader import load_config
from mlxd.control.planner import Room
from mlxd.control.reload import Reloader, Result, Trigger


class Host:
    """Its models settle when the test says so, all but ``failed``."""

    def __init__(self, running):
        self.running = running
        self.failed = {}
        self.waiting = asyncio.Event()
        self.may_settle = asyncio.Event()

    def room(self):
        return Room(limit=1, reserved={})

    async def prepare(self, _new, _plan):
        return None

    async def commit(self, new, _prepared):
        self.running = new

    async def wait_settled(self):
        self.waiting.set()
        await self.may_settle.wait()
        return self.failed


@pytest.fixture
def host(tmp_path):
    path = tmp_path / "mlxd.toml"
    path.write_text('[models.tiny]\nsource = "builtin:smollm2-135m"\n')
    return Host(load_config(path))


async def test_it_is_over_when_the_models_are_what_they_are_to_be(host):
    reload = asyncio.create_task(Reloader(host, told=lambda *_: None).reload(Trigger.API))
    await host.waiting.wait()
    assert not reload.done()
    host.may_settle.set()
    outcome = await reload
    assert (outcome.result, outcome.models) == (Result.UNCHANGED, {})


async def test_it_says_which_models_are_not(host):
    host.may_settle.set()
    host.failed = {"tiny": "no config.json"}
    outcome = await Reloader(host, told=lambda *_: None).reload(Trigger.API)
    assert (outcome.result, outcome.models, outcome.problems) == (Result.UNCHANGED, {"tiny": "no config.json"}, ())
