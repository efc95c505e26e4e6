import asyncio

import pytest

from mlxd.config.schema import LogTable, ModelTable
from mlxd.control.registry import Registry
from mlxd.errors import ModelLoadingError, ModelNotFoundError, ShuttingDownError
from mlxd.types import ModelState
from tests.support.scripted_client import READY, CountingTelemetry, Factory, reach


def table(*aliases):
    return ModelTable.model_validate({"source": "org/tiny", "aliases": aliases})


@pytest.fixture
async def factory():
    return Factory()


@pytest.fixture
async def registry(factory):
    registry = Registry(
        {"qwen": table("default", "gpt-4"), "org/llama": table()}, LogTable(), worker_factory=factory, telemetry=CountingTelemetry()
    )
    yield registry
    await registry.stop()


async def all_ready(registry, factory):
    registry.start_all()
    clients = [await factory.next() for _ in range(2)]
    for client in clients:
        client.become_ready()
    for supervisor in registry._supervisors.values():
        await reach(supervisor, ModelState.READY)
    return {client.load.model: client for client in clients}


@pytest.mark.parametrize(("name", "found"), [("qwen", "qwen"), ("default", "qwen"), ("gpt-4", "qwen"), ("org/llama", "org/llama")])
async def test_names_and_aliases(registry, name, found):
    assert registry.resolve(name) == found
    assert registry.status(name).name == found


@pytest.mark.parametrize("name", ["", "QWEN", "qwen ", "/etc/passwd", "org/other", "_unknown"])
async def test_only_configured_models_exist(registry, factory, name):
    with pytest.raises(ModelNotFoundError, match="qwen, org/llama") as caught:
        await registry.ensure_ready(name)
    assert (caught.value.status, caught.value.param) == (404, "model")
    assert factory.made == []  # nothing was loaded for the asking


async def test_a_huge_name_is_not_repeated_whole(registry):
    with pytest.raises(ModelNotFoundError) as caught:
        registry.resolve("x" * 1_000_000)
    assert len(caught.value.message) < 1000


async def test_statuses_come_in_the_files_order(registry):
    assert [status.name for status in registry.statuses()] == ["qwen", "org/llama"]


async def test_ensure_ready(registry, factory):
    registry.start_all()
    first = await factory.next()
    with pytest.raises(ModelLoadingError):
        await registry.ensure_ready("default")
    first.become_ready()
    await reach(registry._supervisors["qwen"], ModelState.READY)
    model = await registry.ensure_ready("default")
    assert (model.name, model.config.aliases, model.ready, model.client) == ("qwen", ("default", "gpt-4"), READY, factory.made[0])
    with pytest.raises(ModelLoadingError):
        await registry.ensure_ready("org/llama")  # the other's state is its own


async def test_drain_refuses_new_requests_and_waits_for_old_ones(registry, factory):
    clients = await all_ready(registry, factory)
    stream = clients["qwen"].streams.open("r1")
    draining = asyncio.create_task(registry.drain(30.0))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDownError) as caught:
        await registry.ensure_ready("qwen")
    assert caught.value.retry_after > 0
    assert [status.state for status in registry.statuses()] == [ModelState.DRAINING] * 2
    assert not draining.done()
    stream.cancel()
    assert await asyncio.wait_for(draining, 30) is True
    await registry.stop()
    assert [status.state for status in registry.statuses()] == [ModelState.STOPPED] * 2


async def test_drain_gives_up_at_its_deadline(registry, factory):
    clients = await all_ready(registry, factory)
    clients["qwen"].streams.open("r1")
    assert await asyncio.wait_for(registry.drain(0.05), 30) is False


async def test_drain_of_idle_and_of_loading_models_is_immediate(registry, factory):
    registry.start_all()
    (await factory.next()).become_ready()
    await reach(registry._supervisors["qwen"], ModelState.READY)
    assert await asyncio.wait_for(registry.drain(30.0), 5) is True


async def test_stop_ends_every_worker_whatever_its_state(registry, factory):
    registry.start_all()
    loading, ready = await factory.next(), await factory.next()
    ready.become_ready()
    await reach(registry._supervisors["org/llama"], ModelState.READY)
    await registry.stop()
    assert loading.stopped.is_set()
    assert ready.stopped.is_set()
