import asyncio

import pytest

from mlxd.config.schema import ModelTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.model_names import Asked
from mlxd.control.registry import Registry
from mlxd.errors import ModelDrainedError, ModelLoadingError, ModelNotFoundError, ShuttingDownError
from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.scripted_client import READY, CountingTelemetry, reach


def table(*aliases, source="org/tiny", **lifecycle):
    return ModelTable.model_validate({"source": source, "aliases": aliases, "lifecycle": lifecycle})


TWO = {"qwen": table("default", "gpt-4"), "org/llama": table()}


@pytest.fixture
async def empty(factory):
    registry = Registry(worker_factory=factory, telemetry=CountingTelemetry(), ledger=Ledger(2**40), drain_timeout=lambda: 30.0)
    yield registry
    await registry.stop()


@pytest.fixture
async def registry(empty):
    empty.apply(TWO)
    return empty


async def all_ready(registry, factory, count=2):
    clients = [await factory.next() for _ in range(count)]
    for client in clients:
        client.become_ready()
    for client in clients:
        await reach(registry.supervisor(client.load.model), ModelState.READY)
    return {client.load.model: client for client in clients}


async def held(registry, name):
    """Ask for a model that is ready, and let it go again."""
    async with registry.hold(Asked(name)) as model:
        return model


def states(registry):
    return {status.name: status.state for status in registry.statuses()}


@pytest.mark.parametrize(("name", "found"), [("qwen", "qwen"), ("default", "qwen"), ("gpt-4", "qwen"), ("org/llama", "org/llama")])
async def test_names_and_aliases(registry, name, found):
    assert registry.resolve(name).model == found
    assert registry.status(name).name == found


PATTERNS = {"qwen": table("claude-*", "claude-haiku*[1m]", "gpt-4"), "other": table("claude-opus-*", "gpt-4*", "*")}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("claude-sonnet-4-5-20250929", "qwen"),
        ("claude-opus-4-1", "other"),
        ("claude-haiku-4-5[1m]", "qwen"),
        ("gpt-4", "qwen"),  # a name of its own goes before every pattern
        ("gpt-4o", "other"),
        ("Claude-sonnet", "other"),
        ("org/whatever:8b", "other"),
        ("", "other"),
        ("qwen", "qwen"),
    ],
)
async def test_the_most_specific_pattern_is_taken(empty, name, found):
    empty.apply(PATTERNS)
    assert empty.resolve(name).model == found


async def test_an_operator_s_slip_is_no_name_of_the_model_that_takes_all(empty):
    empty.apply(PATTERNS)
    for call in (empty.identify, empty.status, empty.unload, empty.drain):
        with pytest.raises(ModelNotFoundError):
            call("qwne")
    assert empty.identify("gpt-4") == "qwen"


async def test_patterns_are_live_and_put_back(empty):
    empty.apply({"qwen": table(), "other": table("claude-*")})
    restore = empty.restorer()
    empty.apply({"qwen": table("claude-*"), "other": table()})
    assert empty.resolve("claude-x").model == "qwen"
    restore()
    assert empty.resolve("claude-x").model == "other"
    empty.apply({"qwen": table(), "other": table()})
    with pytest.raises(ModelNotFoundError, match="qwen, other"):
        empty.resolve("claude-x")


@pytest.mark.parametrize("name", ["", "QWEN", "qwen ", "/etc/passwd", "org/other", "_unknown"])
async def test_only_configured_models_exist(registry, factory, name):
    with pytest.raises(ModelNotFoundError, match="qwen, org/llama") as caught:
        await held(registry, name)
    assert (caught.value.status, caught.value.param) == (404, "model")
    await factory.next()
    await factory.next()
    assert len(factory.made) == 2  # nothing was loaded for the asking


async def test_a_huge_name_is_not_repeated_whole(registry):
    with pytest.raises(ModelNotFoundError) as caught:
        registry.resolve("x" * 1_000_000)
    assert len(caught.value.message) < 1000


async def test_statuses_come_in_the_files_order(registry):
    assert [status.name for status in registry.statuses()] == ["qwen", "org/llama"]


async def test_a_ready_model_is_asked(registry, factory):
    first = await factory.next()
    with pytest.raises(ModelLoadingError):
        await held(registry, "default")
    first.become_ready()
    await reach(registry.supervisor("qwen"), ModelState.READY)
    model = await held(registry, "default")
    assert (model.name, model.config.aliases, model.ready, model.client) == ("qwen", ("default", "gpt-4"), READY, first)
    with pytest.raises(ModelLoadingError):
        await held(registry, "org/llama")  # the other's state is its own


# ---- lazy models ----


async def test_a_lazy_model_is_loaded_by_its_first_request_and_all_who_ask_meanwhile_share_it(empty, factory):
    empty.apply({"lazy": table("l", load="lazy")})
    assert states(empty) == {"lazy": ModelState.STOPPED}
    asking = [asyncio.create_task(held(empty, name)) for name in ("lazy", "l", "lazy")]
    client = await factory.next()
    assert not any(task.done() for task in asking)
    client.become_ready()
    found = await asyncio.wait_for(asyncio.gather(*asking), PATIENCE)
    assert {model.client for model in found} == {client}
    assert factory.made == [client]


async def test_whoever_gives_up_waiting_does_not_end_the_load(empty, factory):
    empty.apply({"lazy": table(load="lazy")})
    asking = asyncio.create_task(held(empty, "lazy"))
    client = await factory.next()
    asking.cancel()
    client.become_ready()
    await reach(empty.supervisor("lazy"), ModelState.READY)


async def test_an_eager_model_that_was_unloaded_comes_back_for_a_request(registry, factory):
    clients = await all_ready(registry, factory)
    registry.unload("qwen")
    await asyncio.wait_for(clients["qwen"].stopped.wait(), PATIENCE)
    await reach(registry.supervisor("qwen"), ModelState.STOPPED)
    asking = asyncio.create_task(held(registry, "qwen"))
    (await factory.next()).become_ready()
    assert (await asyncio.wait_for(asking, PATIENCE)).name == "qwen"


async def test_a_drained_model_stays_away_until_it_is_loaded(registry, factory):
    clients = await all_ready(registry, factory)
    registry.drain("qwen")
    await asyncio.wait_for(clients["qwen"].stopped.wait(), PATIENCE)
    await reach(registry.supervisor("qwen"), ModelState.STOPPED)
    with pytest.raises(ModelDrainedError) as caught:
        await held(registry, "qwen")
    assert caught.value.retry_after > 0
    registry.load("qwen")
    (await factory.next()).become_ready()
    await reach(registry.supervisor("qwen"), ModelState.READY)
    assert (await held(registry, "qwen")).name == "qwen"


async def test_evicting_is_the_workers_and_is_counted(registry, factory):
    await all_ready(registry, factory)
    assert (await registry.evict_cache("default")).entries == 3
    assert registry._telemetry.evicted == [("qwen", 3)]


# ---- another configuration ----


async def test_an_untouched_model_does_not_notice(registry, factory):
    clients = await all_ready(registry, factory)
    registry.apply({"org/llama": TWO["org/llama"], "qwen": table("default", source="org/other"), "new": table()})
    assert [status.name for status in registry.statuses()] == ["org/llama", "qwen", "new"]
    replaced, new = await factory.next(), await factory.next()
    assert {replaced.load.model, new.load.model} == {"qwen", "new"}
    assert registry.supervisor("org/llama").require_ready().client is clients["org/llama"]
    assert clients["org/llama"].reconfigured == []


async def test_an_alias_moves_at_once(registry, factory):
    await all_ready(registry, factory)
    registry.apply({"qwen": table("gpt-4"), "org/llama": table("default")})
    assert (registry.resolve("default").model, registry.resolve("gpt-4").model) == ("org/llama", "qwen")
    assert (await held(registry, "default")).name == "org/llama"
    assert len(factory.made) == 2


async def test_a_removed_model_is_unknown_at_once_and_its_requests_finish(registry, factory):
    clients = await all_ready(registry, factory)
    stream = clients["qwen"].streams.open("r1")
    registry.apply({"org/llama": TWO["org/llama"]})
    with pytest.raises(ModelNotFoundError):
        await held(registry, "default")
    await asyncio.sleep(0)
    assert states(registry)["qwen"] is ModelState.DRAINING  # to be seen, but not to be asked
    settling = asyncio.create_task(registry.wait_settled(TWO))
    await asyncio.sleep(0)
    assert not settling.done()
    stream.cancel()
    await asyncio.wait_for(settling, PATIENCE)
    await asyncio.wait_for(clients["qwen"].stopped.wait(), PATIENCE)
    assert states(registry) == {"org/llama": ModelState.READY}


async def test_a_model_that_returns_while_its_worker_drains(registry, factory):
    clients = await all_ready(registry, factory)
    stream = clients["qwen"].streams.open("r1")
    registry.apply({"org/llama": TWO["org/llama"]})
    await asyncio.sleep(0)
    registry.apply(TWO)
    again = await factory.next()
    again.become_ready()
    await reach(registry.supervisor("qwen"), ModelState.READY)
    assert not clients["qwen"].stopped.is_set()
    stream.cancel()
    await asyncio.wait_for(registry.wait_settled(TWO), PATIENCE)
    assert (await held(registry, "default")).client is again
    assert [status.name for status in registry.statuses()] == ["qwen", "org/llama"]


async def test_who_waits_for_a_removal_is_not_kept_by_a_return(registry, factory):
    """A reload that removed a model answers when its worker is gone, although a later one wants the model again."""
    clients = await all_ready(registry, factory)
    stream = clients["qwen"].streams.open("r1")
    removed = registry.supervisor("qwen")
    registry.apply({"org/llama": TWO["org/llama"]})
    settling = asyncio.create_task(registry.wait_settled(TWO))
    await reach(removed, ModelState.DRAINING)
    for _ in range(10):  # turns of the event loop, until nothing but the worker is waited for
        await asyncio.sleep(0)
    registry.apply(TWO)
    (await factory.next()).become_ready()
    await reach(registry.supervisor("qwen"), ModelState.READY)
    assert not settling.done()
    stream.cancel()
    assert await asyncio.wait_for(settling, PATIENCE) == {}


async def test_settled_says_who_is_not_what_it_is_to_be(registry, factory):
    first, second = await factory.next(), await factory.next()
    first.become_ready()
    second.refuse(ModelNotFoundError("gone"))
    failed = await asyncio.wait_for(registry.wait_settled(TWO), PATIENCE)
    assert failed == {second.load.model: "gone"}


# ---- the end ----


async def test_drain_refuses_new_requests_and_waits_for_old_ones(registry, factory):
    clients = await all_ready(registry, factory)
    stream = clients["qwen"].streams.open("r1")
    draining = asyncio.create_task(registry.finish(30.0))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDownError) as caught:
        await held(registry, "qwen")
    assert caught.value.retry_after > 0
    assert [status.state for status in registry.statuses()] == [ModelState.DRAINING] * 2
    assert not draining.done()
    stream.cancel()
    assert await asyncio.wait_for(draining, PATIENCE) is True
    await registry.stop()
    assert [status.state for status in registry.statuses()] == [ModelState.STOPPED] * 2


async def test_drain_waits_for_workers_that_leave_already(registry, factory):
    clients = await all_ready(registry, factory)
    stream = clients["qwen"].streams.open("r1")
    registry.unload("qwen")
    await reach(registry.supervisor("qwen"), ModelState.DRAINING)
    draining = asyncio.create_task(registry.finish(30.0))
    await asyncio.sleep(0)
    assert not draining.done()
    stream.cancel()
    assert await asyncio.wait_for(draining, PATIENCE) is True


async def test_drain_gives_up_at_its_deadline(registry, factory):
    clients = await all_ready(registry, factory)
    clients["qwen"].streams.open("r1")
    assert await asyncio.wait_for(registry.finish(0.05), PATIENCE) is False


async def test_drain_of_idle_and_of_loading_models_is_immediate(registry, factory):
    (await factory.next()).become_ready()
    await reach(registry.supervisor("qwen"), ModelState.READY)
    assert await asyncio.wait_for(registry.finish(30.0), 5) is True


async def test_stop_ends_every_worker_whatever_its_state(registry, factory):
    loading, ready = await factory.next(), await factory.next()
    ready.become_ready()
    await reach(registry.supervisor(ready.load.model), ModelState.READY)
    await registry.stop()
    assert loading.stopped.is_set()
    assert ready.stopped.is_set()


async def test_an_adapter_is_no_model_to_an_operator(empty):
    """Who unloads "qwen:sql" must not unload qwen."""
    empty.apply({"qwen": adapted("sql"), "org/llama": table()})
    assert empty.resolve("qwen:sql") == empty.resolve("coder") == Asked("qwen", "sql")
    for name in ("qwen:sql", "coder"):
        with pytest.raises(ModelNotFoundError, match=f'"{name}" is an adapter: name its model, "qwen"'):
            empty.unload(name)
    with pytest.raises(ModelNotFoundError, match="there are: qwen, org/llama, qwen:sql"):
        empty.resolve("qwen:typo")


async def test_an_adapter_is_loaded_and_unloaded_by_its_model_s_worker(empty, factory):
    empty.apply({"qwen": adapted("sql"), "org/llama": table()})
    clients = await all_ready(empty, factory)
    await empty.load_adapter("qwen", "sql")
    await empty.unload_adapter("qwen", "sql")
    assert clients["qwen"].asked_of_adapters == [("load", "sql"), ("unload", "sql")]


async def test_who_asks_by_an_adapter_has_the_model_and_the_adapter_s_name(empty, factory):
    empty.apply({"qwen": adapted("sql"), "org/llama": table()})
    clients = await all_ready(empty, factory)
    async with empty.hold(empty.resolve("coder")) as model:
        assert (model.name, model.adapter, model.client) == ("qwen", "sql", clients["qwen"])


def adapted(name):
    return ModelTable.model_validate(
        {"source": "org/tiny", "batching": {"mode": "continuous"}, "adapters": {name: {"source": "org/sql", "aliases": ["coder"]}}}
    )
