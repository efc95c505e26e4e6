"""One model from stopped to ready and back, and what requests hear meanwhile."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from mlxd.config.loader import parse_config
from mlxd.config.schema import ModelTable
from mlxd.errors import ModelLoadingError, ShuttingDownError
from mlxd.types import ModelState, Task
from mlxd.wire.messages import Progress, StepStats
from tests.support.patience import PATIENCE
from tests.support.scripted_client import READY, reach
from tests.support.wire_requests import generate
from tests.unit.control.model.supervisor.rig import QUICK, SLOW, in_back_off, ready

# ---- the straight way ----


async def test_from_stopped_to_ready_and_back(make, factory, telemetry):
    supervisor = make()
    assert supervisor.status().state is ModelState.STOPPED
    assert supervisor.status().desired is ModelState.STOPPED
    with capture_logs() as logs:
        supervisor.want()
        client = await factory.next()
        assert supervisor.status().state is ModelState.LOADING
        client.become_ready()
        await reach(supervisor, ModelState.READY)
        status = supervisor.status()
        assert (status.desired, status.pid, status.ready, status.heartbeat) == (ModelState.READY, 1000, READY, client.heartbeat)
        assert (supervisor.require_ready().ready, supervisor.require_ready().client) == (READY, client)
        await supervisor.stop()
    assert client.stopped.is_set()
    status = supervisor.status()
    assert (status.state, status.desired, status.pid, status.ready) == (ModelState.STOPPED, ModelState.STOPPED, None, None)
    assert [entry["event"] for entry in logs] == ["model_loading", "model_ready", "model_stopped"]
    assert telemetry.loaded == [("tiny", 0.25)]
    assert telemetry.restarted == []


async def test_what_a_model_is_for_is_known_once_it_was_loaded(make, factory):
    supervisor = make()
    assert supervisor.status().tasks is None
    supervisor.want()
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.unload()
    await reach(supervisor, ModelState.STOPPED)
    assert supervisor.status().tasks == (Task.GENERATE,)
    supervisor.apply(ModelTable(source="org/other"))
    assert supervisor.status().tasks is None


async def test_settings_of_generation_are_told_where_the_files_are_of_a_model_that_encodes(make, factory):
    supervisor = make()
    tables = parse_config(
        '[defaults.sampling]\ntop_k = 3\n[models.a]\nsource = "org/a"\ntask = "auto"\nsampling.top_p = 0.5\n', Path("a.toml"), {}
    )
    supervisor.apply(tables.config.models["a"])
    supervisor.want()
    with capture_logs() as logs:
        (await factory.next()).become_ready(msgspec.structs.replace(READY, tasks=[Task.EMBED]))
        await reach(supervisor, ModelState.READY)
    assert supervisor.status().unused_keys == (("models", "a", "sampling", "top_p"),)
    assert [entry["reason"].partition(":")[0] for entry in logs if entry["event"] == "setting_unused"] == ["models.a.sampling.top_p"]
    supervisor.apply(ModelTable(source="org/a"))
    assert supervisor.status().unused_keys == ()


async def test_start_and_stop_are_idempotent(make, factory):
    supervisor = make()
    supervisor.want()
    supervisor.want()
    client = await factory.next()
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.want()
    await asyncio.sleep(0)
    assert factory.made == [client]
    await supervisor.stop()
    await supervisor.stop()
    assert supervisor.state is ModelState.STOPPED


async def test_stopped_and_started_again(make, factory):
    supervisor = make()
    first = await ready(supervisor, factory)
    await supervisor.stop()
    second = await ready(supervisor, factory)
    assert first is not second
    assert supervisor.require_ready().client is second


async def test_stop_while_loading(make, factory):
    supervisor = make()
    supervisor.want()
    client = await factory.next()
    await supervisor.stop()
    assert client.stopped.is_set()
    assert supervisor.state is ModelState.STOPPED


async def test_the_worker_gets_the_models_table(make, factory):
    client = await ready(make(), factory)
    assert (client.load.model, client.load.source) == ("tiny", "org/tiny")


async def test_steps_are_measured(make, factory, telemetry):
    client = await ready(make(), factory)
    stats = StepStats(seconds=0.1, tokens=2, rows=1)
    client.watcher.on_step(stats)
    assert telemetry.steps == [("tiny", stats)]


# ---- who may ask ----


async def test_what_a_request_hears_while_the_model_loads(make, factory):
    supervisor = make()
    supervisor.want()
    client = await factory.next()
    with pytest.raises(ModelLoadingError, match="loading") as caught:
        supervisor.require_ready()
    assert caught.value.retry_after == 5.0
    client.watcher.on_progress(Progress(stage="fetching", done=40, total=100))
    with pytest.raises(ModelLoadingError, match=r"fetching \(40 %\)") as caught:
        supervisor.require_ready()
    assert caught.value.retry_after >= 1.0
    assert supervisor.status().progress == Progress(stage="fetching", done=40, total=100)


async def test_what_a_request_hears_of_a_stopped_model_and_of_a_stopping_daemon(make, factory):
    supervisor = make()
    with pytest.raises(ModelLoadingError, match="stopped"):
        supervisor.require_ready()
    await ready(supervisor, factory)
    supervisor.finish()
    assert supervisor.status().state is ModelState.DRAINING
    with pytest.raises(ShuttingDownError) as caught:
        supervisor.require_ready()
    assert caught.value.retry_after > 0


# ---- moments that are easy to get wrong ----


async def test_nothing_of_the_back_off_survives_a_stop(make, factory):
    supervisor = make(worker=SLOW)
    await in_back_off(supervisor, factory)
    await supervisor.stop()
    assert supervisor.status().restart_in is None


async def test_a_worker_lost_while_draining_is_not_replaced(make, factory, telemetry):
    supervisor = make(worker=QUICK)
    client = await ready(supervisor, factory)
    client.submit(generate("a"))
    supervisor.unload()
    await reach(supervisor, ModelState.DRAINING)
    client.end("crash")
    await asyncio.wait_for(client.stopped.wait(), PATIENCE)
    await reach(supervisor, ModelState.STOPPED)
    assert telemetry.restarted == []
    assert factory.made == [client]


async def test_a_defect_of_the_daemon_is_a_failed_model(make):
    def broken(name, config):
        raise TypeError("a defect of ours")

    supervisor = make(worker_factory=broken)
    supervisor.want()
    await reach(supervisor, ModelState.FAILED)
    assert "TypeError: a defect of ours" in supervisor.status().last_error
    await supervisor.stop()
    assert supervisor.state is ModelState.STOPPED


async def test_every_stop_waits_for_the_workers_end(make, factory):
    supervisor = make()
    client = await ready(supervisor, factory)
    client.may_stop.clear()
    first = asyncio.create_task(supervisor.stop())
    await asyncio.wait_for(client.stopping.wait(), PATIENCE)
    second = asyncio.create_task(supervisor.stop())
    done, _ = await asyncio.wait({first, second}, timeout=0.2)
    client.may_stop.set()
    await asyncio.gather(first, second)
    assert not done
