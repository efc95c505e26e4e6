"""In which order a new configuration takes hold, and what is looked at before anything does."""

import asyncio
import logging

import aiohttp
import pytest
from aiohttp import web

from mlxd.config.address import TcpAddress, UnixAddress
from mlxd.config.loader import load_config
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.planner import Plan, plan
from mlxd.errors import ConfigError, ListenError, ModelSourceError
from mlxd.listener.certificates import Certificates
from mlxd.listener.listeners import Listeners, PreparedMoves
from mlxd.listener.server import Listener
from mlxd.observability.logging import PreparedLogging
from mlxd.observability.tracing import PreparedTracing
from mlxd.takeover import Takeover, total_memory_limit
from tests.support.patience import PATIENCE

MODEL = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'


class Registry:
    def __init__(self, done):
        self.memory = ModelMemory(Ledger(1000), list)
        self._done = done

    def apply(self, models):
        self._done("models", list(models))

    def restorer(self):
        return lambda: None

    async def wait_settled(self, models):
        return {"tiny": "no config.json"}


class Metrics:
    def __init__(self, done):
        self._done = done

    def add_models(self, names):
        self._done("metrics", list(names))

    def config_loaded(self, sha256):
        self._done("metrics", sha256)


class Tracing:
    def __init__(self, done):
        self._done = done

    async def prepare(self, table):
        self._done("load", table.enabled)
        return PreparedTracing(self, table, None)

    def current(self):
        return PreparedTracing(self, None, None)

    def swap(self, prepared):
        self._done("traces", prepared.table.enabled)


class RecordingListeners:
    def __init__(self, done):
        self._done = done

    def prepare(self, moves):
        self._done("bind", moves)
        return PreparedMoves(tuple(moves))

    def take_back(self, prepared):
        self._done("take back", prepared.moves)

    def close_old(self, prepared):
        self._done("close", prepared.moves)

    def serve_new(self, prepared):
        self._done("serve", prepared.moves)


class Rig:
    """A takeover of a file in a directory of its own. ``steps``: what was done, and under which configuration."""

    def __init__(self, path, text=MODEL):
        self.path = path
        self.path.write_text(text)
        self.steps = []
        self.before = load_config(path, {})
        self.takeover = Takeover(
            self.before,
            registry=Registry(self.done),
            metrics=Metrics(self.done),
            tracing=Tracing(self.done),
            certificates=Certificates(),
        )
        self.takeover.listeners = RecordingListeners(self.done)

    def done(self, what, detail):
        running = "old" if self.takeover.running is self.before else "new"
        self.steps.append((what, running, detail))

    def load(self, text):
        self.path.write_text(text)
        return load_config(self.path, {})

    def plan(self, new):
        return plan(self.takeover.running, new, self.takeover.room())

    async def prepare(self, text):
        new = self.load(text)
        return await self.takeover.prepare(new, self.plan(new))

    async def take_over(self, text):
        new = self.load(text)
        self.takeover.commit(new, await self.takeover.prepare(new, self.plan(new)))
        return new

    def order(self):
        return list(dict.fromkeys((what, running) for what, running, _ in self.steps))


@pytest.fixture
def configured(monkeypatch):
    """The log tables that were configured, instead of doing it: the logs are the test runner's."""
    found = []
    monkeypatch.setattr(PreparedLogging, "swap", lambda self: found.append(self.table))
    return found


@pytest.fixture
def rig(tmp_path, configured):
    return Rig(tmp_path / "mlxd.toml")


# ---- the order ----


async def test_new_sockets_are_served_by_the_new_rules_and_old_ones_close_once_all_is_done(rig, configured):
    new = await rig.take_over(f'[server]\nlisten = "127.0.0.1:7001"\n{MODEL}[models.other]\nsource = "org/other"\n')
    before, after = [("load", "old"), ("bind", "old")], ["traces", "metrics", "serve", "models", "close"]
    assert rig.order() == before + [(step, "new") for step in after]
    [move] = rig.steps[1][2]
    assert (move.role, [str(one) for one in move.opened], [str(one) for one in move.closed]) == (
        "inference", ["127.0.0.1:7001"], ["127.0.0.1:8000"],
    )  # fmt: skip
    assert ("metrics", "new", ["tiny", "other"]) in rig.steps  # labels are there before a worker counts under them
    assert ("metrics", "new", new.sha256) in rig.steps
    assert ("models", "new", ["tiny", "other"]) in rig.steps
    assert configured == [new.config.log]
    assert rig.takeover.running is new


async def test_memory_is_of_the_new_configuration_when_the_models_hear_of_it(rig):
    limits = []
    registry = rig.takeover._registry
    registry.apply = lambda _: limits.append(registry.memory.ledger.limit)
    await rig.take_over(f'[memory]\nlimit = "2GiB"\n{MODEL}')
    assert limits == [2**31]
    assert rig.takeover.room().limit == 2**31


async def test_the_time_is_that_of_the_takeover(rig):
    before = rig.takeover.since
    await rig.take_over(f"# mine\n{MODEL}")
    assert rig.takeover.since > before


async def test_the_room_is_what_the_models_have_reserved(rig):
    rig.takeover._registry.memory.reserve("tiny#1", 300)
    rig.takeover._registry.memory.reserve("tiny#2", 200)
    room = rig.takeover.room()
    assert (room.limit, room.reserved) == (1000, {"tiny": 500})


async def test_settling_is_the_registry_s(rig):
    assert await rig.takeover.wait_settled({"tiny"}) == {"tiny": "no config.json"}


def test_the_memory_limit_is_a_share_of_this_machine(rig):
    some, more = (total_memory_limit(rig.load(f'[memory]\nlimit = "{share}"\n{MODEL}').config) for share in ("25%", "50%"))
    assert 0 < some < more
    assert abs(more - 2 * some) <= 1  # rounded down, both


# ---- what cannot be taken over ----


@pytest.mark.parametrize("edit", ["add", "replace"])
async def test_a_source_that_is_not_there_is_refused(rig, edit):
    name = "new" if edit == "add" else "tiny"
    text = (MODEL if edit == "add" else "") + f'[models.{name}]\nsource = "./nowhere"\n'
    with pytest.raises(ModelSourceError, match=rf"models\.{name}\.source: there is nothing at {rig.path.parent}/nowhere"):
        await rig.prepare(text)
    assert rig.steps == []
    assert rig.takeover.running is rig.before


async def test_a_draft_model_that_is_not_there_is_refused(rig):
    paged = '[models.tiny.batching]\nmode = "continuous"\n'
    with pytest.raises(ModelSourceError, match=rf"models\.tiny\.speculation\.draft: there is nothing at {rig.path.parent}/nowhere"):
        await rig.prepare(f'{MODEL}{paged}[models.tiny.speculation]\ndraft = "./nowhere"\n')
    assert rig.steps == []


async def test_an_adapter_that_is_not_there_is_refused_unless_it_was_not_there_before(rig):
    paged = '[models.tiny.batching]\nmode = "continuous"\n'
    text = f'{MODEL}{paged}[models.tiny.adapters.sql]\nsource = "./nowhere"\n'
    with pytest.raises(ModelSourceError, match=rf"models\.tiny\.adapters\.sql\.source: there is nothing at {rig.path.parent}/nowhere"):
        await rig.prepare(text)
    assert rig.steps == []
    (rig.path.parent / "nowhere").mkdir()
    await rig.take_over(text)
    (rig.path.parent / "nowhere").rmdir()
    await rig.take_over(f"{text}pin = true\n")


async def test_a_source_that_is_there_is_not(rig):
    (rig.path.parent / "here").mkdir()
    await rig.take_over('[models.tiny]\nsource = "./here"\n')


async def test_the_source_of_a_model_that_stays_as_it_is_is_nobody_s_business(tmp_path, configured):
    """Its directory is gone; it runs, and an edit elsewhere must not fail by that."""
    rig = Rig(tmp_path / "mlxd.toml", '[models.tiny]\nsource = "./gone"\n')
    await rig.take_over('[models.tiny]\nsource = "./gone"\naliases = ["default"]\n[log]\nlevel = "debug"\n')
    assert rig.takeover.running.config.log.level == "debug"


async def test_a_log_file_that_cannot_be_opened_is_refused(rig, configured):
    with pytest.raises(ConfigError, match=r"log\.file: cannot append to .*/nowhere/mlxd.log"):
        await rig.prepare(f'[log]\nfile = "nowhere/mlxd.log"\n{MODEL}')
    assert (rig.steps, configured) == ([], [])


async def test_a_log_file_that_stays_is_not_looked_at_again(tmp_path, configured):
    """Its disk may be full, or its directory gone: that is no reason to refuse another edit."""
    (tmp_path / "logs").mkdir()
    with_file = f'[log]\nfile = "logs/mlxd.log"\n{MODEL}'
    rig = Rig(tmp_path / "mlxd.toml", with_file)
    (tmp_path / "logs").rmdir()
    await rig.take_over(with_file + 'aliases = ["default"]\n')


async def test_a_log_file_that_cannot_be_opened_any_more_stops_nothing(rig, monkeypatch, caplog):
    def refuse(_):
        raise ConfigError(["log.file: cannot append to it: No space left on device"])

    monkeypatch.setattr("mlxd.takeover.prepare_logging", refuse)
    with caplog.at_level(logging.ERROR):
        new = await rig.take_over(f'[log]\nlevel = "debug"\n{MODEL}')
    assert rig.takeover.running is new
    assert rig.order()[-1] == ("close", "new")


# ---- with real sockets ----


async def test_no_request_is_answered_under_the_rules_of_another_address(tmp_path, configured):
    """From an open unix socket to a TCP port with a key: who connects at any moment meets one or the other, and nothing between."""
    port = f'[server]\nlisten = "127.0.0.1:0"\napi_keys = ["sesame"]\n{MODEL}'
    rig = Rig(tmp_path / "mlxd.toml", f'[server]\nlisten = "unix:{tmp_path}/s"\n{MODEL}')
    seen = []

    async def answer(request):
        is_unix = not isinstance(request.transport.get_extra_info("sockname"), tuple)
        seen.append(("unix" if is_unix else "tcp", len(rig.takeover.running.config.server.api_keys)))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    listeners = rig.takeover.listeners = Listeners({"inference": Listener(app, rig.before.config.server.listen)})
    await listeners.start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{tmp_path}/s")) as session:
            await session.get("http://localhost/")
        new = rig.load(port)
        prepared = await rig.takeover.prepare(new, rig.plan(new))
        [(_, _, bound)] = prepared.moves.bound
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", bound.address.port)  # before its rules hold
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await asyncio.sleep(0)
            rig.takeover.commit(new, prepared)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        assert seen == [("unix", 0), ("tcp", 1)]
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(f"{tmp_path}/s")
    finally:
        await listeners.stop()


async def test_an_address_that_cannot_be_bound_is_refused_and_the_old_one_serves(tmp_path, configured):
    rig = Rig(tmp_path / "mlxd.toml", f'[server]\nlisten = "unix:{tmp_path}/s"\n{MODEL}')
    listeners = rig.takeover.listeners = Listeners({"inference": Listener(web.Application(), rig.before.config.server.listen)})
    await listeners.start()
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match="the file exists and is no socket"):
        await rig.prepare(f'[server]\nlisten = "unix:{tmp_path}/file"\n{MODEL}')
    assert listeners.addresses("inference") == (UnixAddress(tmp_path / "s"),)
    await listeners.stop()


async def test_an_empty_plan_moves_nothing(tmp_path, configured):
    rig = Rig(tmp_path / "mlxd.toml", f'[server]\nlisten = "127.0.0.1:0"\n{MODEL}')
    listeners = rig.takeover.listeners = Listeners({"inference": Listener(web.Application(), rig.before.config.server.listen)})
    await listeners.start()
    before = listeners.addresses("inference")
    assert (await rig.takeover.prepare(rig.before, Plan())).moves == PreparedMoves(())
    await rig.take_over(f'[server]\nlisten = "127.0.0.1:0"\n# mine\n{MODEL}')
    assert listeners.addresses("inference") == before != (TcpAddress("127.0.0.1", 0),)
    await listeners.stop()
