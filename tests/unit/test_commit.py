"""A commit of which one call raises: the old world or the new one, whole, whichever call it is."""

import asyncio
import dataclasses
import logging

import pytest
from aiohttp import ClientSession, UnixConnector, web

from mlxd.config.certificates import certificate_files
from mlxd.config.loader import load_config
from mlxd.control.memory.ledger import Ledger
from mlxd.control.model.supervisor import ModelSupervisor
from mlxd.control.planner import listen_addresses, plan
from mlxd.control.registry import Registry
from mlxd.listener import server
from mlxd.listener.certificates import Certificates
from mlxd.listener.listeners import Listeners
from mlxd.listener.server import Listener
from mlxd.observability.log_output import LogOutput
from mlxd.observability.logging import configure_logging, current_logging
from mlxd.observability.metrics import Metrics
from mlxd.observability.tracing import Tracing
from mlxd.takeover import Takeover, total_memory_limit
from mlxd.types import ModelState
from tests.support.certificates import Authority
from tests.support.scripted_client import Factory, reach

OLD = """
[server]
listen = ["unix:{dir}/a", "unix:{dir}/both", "127.0.0.1:0"]
[server.tls]
certificate = "old.pem"
key = "old.key"
[admin]
listen = "unix:{dir}/admin"
[log]
file = "{dir}/old.log"
level = "info"
[memory]
limit = "1GiB"
[models.stays]
source = "org/stays"
aliases = ["default"]
batching.mode = "continuous"
[models.goes]
source = "org/goes"
[models.lazy]
source = "org/lazy"
lifecycle.load = "lazy"
"""
NEW = """
[server]
listen = ["unix:{dir}/b", "unix:{dir}/both", "127.0.0.1:0"]
[server.tls]
certificate = "new.pem"
key = "new.key"
[[server.keys]]
name = "agents"
key = "a-secret-of-some-length-for-agents"
cache_quota = "40%"
[admin]
listen = ["unix:{dir}/admin", "unix:{dir}/admin2"]
[log]
file = "{dir}/new.log"
level = "debug"
[tracing]
enabled = true
[memory]
limit = "2GiB"
patience = "1m"
[models.new]
source = "org/new"
aliases = ["default"]
[models.stays]
source = "org/stays"
batching = {{mode = "continuous", max_queue = 7}}
"""
ADDRESSES = ["a", "b", "both", "admin", "admin2"]


class FaultError(Exception):
    """Of no kind that anybody expects."""


class World:
    """A daemon without HTTP applications and without processes; everything that a commit touches is real."""

    def __init__(self, directory):
        self.directory = directory
        self.path = directory / "mlxd.toml"
        self.factory = Factory()
        before = self.load(OLD)
        configure_logging(before.config.log)
        ledger = Ledger(total_memory_limit(before.config))
        self.metrics = Metrics(lambda: self.registry.statuses(), ledger)  # noqa: PLW0108 - made after
        self.registry = Registry(worker_factory=self.factory, telemetry=self.metrics, ledger=ledger, drain_timeout=lambda: 30.0)
        self.tracing = Tracing()
        self.certificates = Certificates()
        self.certificates.swap(self.certificates.prepare(certificate_files(before.config)))
        self.takeover = Takeover(before, registry=self.registry, metrics=self.metrics, tracing=self.tracing, certificates=self.certificates)
        wanted = listen_addresses(before.config)
        self.listeners = self.takeover.listeners = Listeners({role: Listener(self.app(), wanted[role]) for role in ("inference", "admin")})
        self.metrics.add_models(before.config.models)
        self.metrics.config_loaded(before.sha256, self.takeover.since)

    def app(self):
        async def answer(_):
            return web.Response(text=self.takeover.running.sha256)

        app = web.Application()
        app.router.add_get("/", answer)
        return app

    def load(self, text):
        self.path.write_text(text.format(dir=self.directory))
        return load_config(self.path, {})

    async def start(self):
        await self.listeners.start()
        self.registry.apply(self.takeover.running.config.models)
        for _ in range(2):
            client = await self.factory.next()
            client.become_ready()
            await reach(self.registry.supervisor(client.load.model), ModelState.READY)

    async def stop(self):
        await self.registry.stop()
        await self.listeners.stop()
        await self.tracing.stop()

    async def look(self):
        """All that can be seen of it."""
        for _ in range(5):
            await asyncio.sleep(0)  # whoever was told something acts
        statuses = self.registry.statuses()
        return {
            "snapshot": self.takeover.running.sha256,
            "names": {name: self.registry.resolve(name).model for name in ("stays", "default")},
            "models": {one.name: (one.config.source, one.config.batching.max_queue, one.desired) for one in statuses},
            "states": {one.name: one.state for one in statuses if one.name in ("stays", "lazy")},
            "limit": self.registry.memory.ledger.limit,
            "patience": self.registry.memory.patience,
            "quotas": {model: [one.holder for one in found] for model, found in self.registry.memory.quotas.items() if found},
            "log": self.written(),
            "level": current_logging().level,
            "certificate": [state.files.certificate.name for state in self.certificates.states()],
            "traces": self.tracing.current().table,
            "metric": self.metrics.registry.get_sample_value("mlxd_config_info", {"hash": self.takeover.running.sha256}),
            "answers": {name: await self.ask(name) for name in ADDRESSES},
        }

    def written(self):
        """The log files that a line goes to."""
        files = list(self.directory.glob("*.log"))
        for file in files:
            file.write_text("")
        logging.getLogger("mlxd").warning("here")
        return [file.name for file in files if file.stat().st_size]

    async def ask(self, name):
        try:
            async with ClientSession(connector=UnixConnector(f"{self.directory}/{name}")) as session, session.get("http://x/") as answer:
                return await answer.text()
        except OSError:
            return None

    async def prepared(self):
        new = self.load(NEW)
        return new, await self.takeover.prepare(new, plan(self.takeover.running, new, self.takeover.room()))


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
async def world(tmp_path, authority):
    root = logging.getLogger()
    before = current_logging(), list(root.handlers)
    for stem in ("old", "new"):
        authority.issue(tmp_path, stem=stem)
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()
    for handler in [one for one in root.handlers if isinstance(one, LogOutput)]:
        root.removeHandler(handler)
        handler.close()
    before[0].put_back()


async def committed(world):
    new, prepared = await world.prepared()
    world.takeover.commit(new, prepared)
    return await world.look()


async def check_old(world, before):
    assert await world.look() == before
    assert (await committed(world))["snapshot"] != before["snapshot"]  # and nothing is in the way of another try


def check_new(world, found):
    assert found["snapshot"] == world.load(NEW).sha256
    assert {one for one, answer in found["answers"].items() if answer == found["snapshot"]} == {"b", "both", "admin", "admin2"}
    assert (found["names"]["default"], found["models"]["stays"][1], found["limit"], found["patience"]) == ("new", 7, 2**31, 60.0)
    assert found["quotas"] == {"stays": ["agents"]}
    assert (found["log"], found["level"], found["certificate"]) == (["new.log"], "debug", ["new.pem"])
    assert (found["traces"].enabled, found["metric"]) == (True, 1.0)


async def test_without_a_fault_everything_is_new(world):
    check_new(world, await committed(world))


STEPS = [
    *("snapshot", "logs", "traces", "labels", "memory", "waiting", "wired memory", "quotas"),
    *("certificates", "listeners", "metrics", "models"),
]


async def test_these_are_all_steps(world):
    new, prepared = await world.prepared()
    assert [step.name for step in world.takeover.steps(new, prepared)] == STEPS
    world.takeover.commit(new, prepared)


def broken(step, when):
    def fail():
        raise FaultError(f"{when} {step.name}")

    def do_and_fail():
        step.do()
        fail()

    return dataclasses.replace(step, **{"before": {"do": fail}, "after": {"do": do_and_fail}, "finish": {"finish": fail}}[when])


def break_step(world, monkeypatch, name, when):
    whole = world.takeover.steps
    monkeypatch.setattr(
        world.takeover, "steps", lambda *given: tuple(broken(step, when) if step.name == name else step for step in whole(*given))
    )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STEPS)
async def test_a_fault_of_a_step_leaves_the_old_world(world, monkeypatch, name, when):
    before = await world.look()
    new, prepared = await world.prepared()
    with monkeypatch.context() as patch:
        break_step(world, patch, name, when)
        with pytest.raises(FaultError):
            world.takeover.commit(new, prepared)
    await check_old(world, before)


@pytest.mark.parametrize("name", STEPS)
async def test_a_fault_after_all_is_done_leaves_the_new_world(world, monkeypatch, name):
    new, prepared = await world.prepared()
    break_step(world, monkeypatch, name, "finish")
    world.takeover.commit(new, prepared)
    found = await world.look()
    if name == "listeners":  # the old one could not be closed: it answers by the new rules
        assert found["answers"].pop("a") in (None, found["snapshot"])
    check_new(world, found)


def fail_at(monkeypatch, owner, method, call):
    """The ``call``-th call raises, after it has done its work."""
    whole, calls = getattr(owner, method), []

    def fail(*given, **named):
        calls.append(given)
        result = whole(*given, **named)
        if len(calls) == call:
            raise FaultError(f"{method} {call}")
        return result

    monkeypatch.setattr(owner, method, fail)


INNER = [
    *((ModelSupervisor, "apply", call) for call in (1, 2)),
    *((ModelSupervisor, "unload", call) for call in (1, 2)),
    (ModelSupervisor, "want", 1),
    (ModelSupervisor, "__init__", 1),
    *((server.Acceptor, "__init__", call) for call in (1, 2)),
    (server.Listener, "serve", 1),
    (server.Listener, "serve", 2),
    (LogOutput, "close", 1),
]


@pytest.mark.parametrize("where", INNER, ids=lambda where: f"{where[0].__name__}.{where[1]}-{where[2]}")
async def test_a_fault_within_a_step_leaves_one_world(world, monkeypatch, where):
    before = await world.look()
    new, prepared = await world.prepared()
    with monkeypatch.context() as patch:
        fail_at(patch, *where)
        try:
            world.takeover.commit(new, prepared)
        except FaultError:
            is_old = True
        else:
            is_old = False
    if is_old:
        await check_old(world, before)
    else:
        check_new(world, await world.look())
