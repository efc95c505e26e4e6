"""One model's life, with workers whose every move the test makes."""

import asyncio

import pytest
from structlog.testing import capture_logs

from mlxd.config.schema import LogTable, ModelTable
from mlxd.control.supervisor import ModelSupervisor
from mlxd.errors import (
    ConfigError,
    MlxdError,
    ModelFailedError,
    ModelLoadingError,
    ModelSourceError,
    ModelUnreachableError,
    ShuttingDownError,
    VersionMismatchError,
    WorkerLostError,
)
from mlxd.types import ModelState
from mlxd.wire.messages import Progress, StepStats
from tests.support.scripted_client import READY, CountingTelemetry, Factory, reach

QUICK = {"restart_backoff": "1ms", "restart_backoff_max": "2ms", "crash_limit": 3}
SLOW = {"restart_backoff": "1h", "restart_backoff_max": "1h"}


@pytest.fixture
def telemetry():
    return CountingTelemetry()


@pytest.fixture
async def factory():
    return Factory()


@pytest.fixture
async def make(factory, telemetry):
    made = []

    def make(worker_factory=factory, **worker):
        table = ModelTable.model_validate({"source": "org/tiny", "worker": worker})
        made.append(ModelSupervisor("tiny", table, LogTable(), worker_factory=worker_factory, telemetry=telemetry))
        return made[-1]

    yield make
    for supervisor in made:
        await supervisor.stop()


async def ready(supervisor, factory):
    supervisor.start()
    client = await factory.next()
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    return client


async def in_back_off(supervisor, factory):
    (await ready(supervisor, factory)).end("crash")
    async with asyncio.timeout(30):
        while supervisor.status().restart_in is None:
            await supervisor.wait_changed()


# ---- the straight way ----


async def test_from_stopped_to_ready_and_back(make, factory, telemetry):
    supervisor = make()
    assert supervisor.status().state is ModelState.STOPPED
    assert supervisor.status().desired is ModelState.STOPPED
    with capture_logs() as logs:
        supervisor.start()
        client = await factory.next()
        assert supervisor.status().state is ModelState.LOADING
        client.become_ready()
        await reach(supervisor, ModelState.READY)
        status = supervisor.status()
        assert (status.desired, status.pid, status.ready, status.heartbeat) == (ModelState.READY, 1000, READY, client.heartbeat)
        assert supervisor.require_ready() == (READY, client)
        await supervisor.stop()
    assert client.stopped.is_set()
    status = supervisor.status()
    assert (status.state, status.desired, status.pid, status.ready) == (ModelState.STOPPED, ModelState.STOPPED, None, None)
    assert [entry["event"] for entry in logs] == ["model_loading", "model_ready", "model_stopped"]
    assert telemetry.loaded == [("tiny", 0.25)]
    assert telemetry.restarted == []


async def test_start_and_stop_are_idempotent(make, factory):
    supervisor = make()
    supervisor.start()
    supervisor.start()
    client = await factory.next()
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.start()
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
    assert supervisor.require_ready()[1] is second


async def test_stop_while_loading(make, factory):
    supervisor = make()
    supervisor.start()
    client = await factory.next()
    await supervisor.stop()
    assert client.stopped.is_set()
    assert supervisor.state is ModelState.STOPPED


async def test_the_worker_gets_the_models_table(make, factory):
    client = await ready(make(), factory)
    assert (client.load.model, client.load.source, client.load.log_level) == ("tiny", "org/tiny", "info")


async def test_steps_are_measured(make, factory, telemetry):
    client = await ready(make(), factory)
    stats = StepStats(seconds=0.1, tokens=2, rows=1)
    client.on_step(stats)
    assert telemetry.steps == [("tiny", stats)]


# ---- who may ask ----


async def test_what_a_request_hears_while_the_model_loads(make, factory):
    supervisor = make()
    supervisor.start()
    client = await factory.next()
    with pytest.raises(ModelLoadingError, match="loading") as caught:
        supervisor.require_ready()
    assert caught.value.retry_after == 5.0
    client.on_progress(Progress(stage="fetching", done=40, total=100))
    with pytest.raises(ModelLoadingError, match=r"fetching \(40 %\)") as caught:
        supervisor.require_ready()
    assert caught.value.retry_after >= 1.0
    assert supervisor.status().progress == Progress(stage="fetching", done=40, total=100)


async def test_what_a_request_hears_of_a_stopped_and_of_a_draining_model(make, factory):
    supervisor = make()
    with pytest.raises(ShuttingDownError):
        supervisor.require_ready()
    await ready(supervisor, factory)
    supervisor.drain()
    assert supervisor.status().state is ModelState.DRAINING
    with pytest.raises(ShuttingDownError) as caught:
        supervisor.require_ready()
    assert caught.value.retry_after > 0


# ---- crashes ----


@pytest.mark.parametrize(("reason", "event"), [("crash", "worker_crashed"), ("hang", "worker_hung")])
async def test_a_lost_worker_is_replaced(make, factory, telemetry, reason, event):
    supervisor = make(**QUICK)
    first = await ready(supervisor, factory)
    with capture_logs() as logs:
        first.end(reason, "killed by SIGKILL")
        second = await factory.next()
        assert supervisor.state is ModelState.LOADING
        second.become_ready()
        await reach(supervisor, ModelState.READY)
    assert first.stopped.is_set()
    assert [entry["event"] for entry in logs] == [event, "worker_restarting", "model_loading", "model_ready"]
    assert telemetry.restarted == [("tiny", reason)]
    status = supervisor.status()
    assert (status.restarts, status.last_error, status.restart_in) == (1, "killed by SIGKILL", None)


async def test_from_the_moment_of_the_loss_requests_hear_that_the_model_is_coming_back(make, factory):
    """The socket is closed, the process not yet gone, and then gone but not yet tidied up."""
    supervisor = make(**SLOW)
    client = await ready(supervisor, factory)
    client.may_stop.clear()
    client.lost.set()
    await reach(supervisor, ModelState.LOADING)
    with pytest.raises(ModelLoadingError):
        supervisor.require_ready()
    client.end("crash")
    await asyncio.wait_for(client.stopping.wait(), 30)
    with pytest.raises(ModelLoadingError):
        supervisor.require_ready()
    client.may_stop.set()


async def test_in_back_off_the_time_left_is_told(make, factory):
    supervisor = make(**SLOW)
    await in_back_off(supervisor, factory)
    assert 3590 < supervisor.status().restart_in <= 3600
    with pytest.raises(ModelLoadingError, match="killed by SIGKILL") as caught:
        supervisor.require_ready()
    assert 3590 < caught.value.retry_after <= 3600


async def test_stop_during_back_off(make, factory):
    supervisor = make(**SLOW)
    await in_back_off(supervisor, factory)
    await asyncio.wait_for(supervisor.stop(), 30)
    assert supervisor.state is ModelState.STOPPED
    assert len(factory.made) == 1


async def test_too_many_crashes_are_the_end_until_an_operator_starts_it(make, factory, telemetry):
    supervisor = make(**QUICK)
    with capture_logs() as logs:
        supervisor.start()
        for _ in range(3):
            client = await factory.next()
            client.become_ready()
            await reach(supervisor, ModelState.READY)
            client.end("crash", "killed by SIGABRT: out of memory")
            await supervisor.wait_changed()
        await reach(supervisor, ModelState.FAILED)
    assert logs[-1]["event"] == "model_failed"
    assert telemetry.restarted == [("tiny", "crash")] * 2  # the last one is not replaced
    status = supervisor.status()
    assert status.last_error == "3 crashes within 600 s; the last: killed by SIGABRT: out of memory"
    assert status.pid is None
    with pytest.raises(ModelFailedError, match="3 crashes within 600 s"):
        supervisor.require_ready()
    (await ready(supervisor, factory)).end("crash")  # with a clean record: one crash is no end
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)


# ---- loads that fail ----


@pytest.mark.parametrize("error", [ModelSourceError("model.safetensors is truncated"), ConfigError(["bad"]), VersionMismatchError("old")])
async def test_what_another_try_cannot_mend_fails_at_once(make, factory, telemetry, error):
    supervisor = make(**QUICK)
    supervisor.start()
    client = await factory.next()
    client.refuse(error)
    await reach(supervisor, ModelState.FAILED)
    assert supervisor.status().last_error == error.message
    assert telemetry.restarted == []
    assert len(factory.made) == 1
    with pytest.raises(ModelFailedError):
        supervisor.require_ready()
    await supervisor.stop()
    assert client.stopped.is_set()
    assert supervisor.state is ModelState.STOPPED


@pytest.mark.parametrize("error", [MlxdError("out of memory"), WorkerLostError("killed by SIGKILL")])
async def test_other_loads_are_tried_again_until_the_limit(make, factory, telemetry, error):
    supervisor = make(**QUICK)
    supervisor.start()
    for _ in range(3):
        (await factory.next()).refuse(error)
    await reach(supervisor, ModelState.FAILED)
    assert telemetry.restarted == [("tiny", "load_failed")] * 2


async def test_a_network_that_is_down_is_waited_for_beyond_the_limit(make, factory):
    supervisor = make(**QUICK)
    supervisor.start()
    for _ in range(6):
        (await factory.next()).refuse(ModelUnreachableError("no network"))
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)


# ---- moments that are easy to get wrong ----


async def test_nothing_of_the_back_off_survives_a_stop(make, factory):
    supervisor = make(**SLOW)
    await in_back_off(supervisor, factory)
    await supervisor.stop()
    assert supervisor.status().restart_in is None


async def test_a_worker_lost_while_draining_is_not_replaced(make, factory, telemetry):
    supervisor = make(**QUICK)
    client = await ready(supervisor, factory)
    supervisor.drain()
    client.end("crash")
    await asyncio.wait_for(client.stopped.wait(), 30)
    await reach(supervisor, ModelState.STOPPED)
    await asyncio.wait({supervisor._task}, timeout=30)
    assert telemetry.restarted == []
    assert factory.made == [client]


async def test_a_defect_of_the_daemon_is_a_failed_model(make):
    def broken(name, config):
        raise TypeError("a defect of ours")

    supervisor = make(worker_factory=broken)
    supervisor.start()
    await reach(supervisor, ModelState.FAILED)
    assert "TypeError: a defect of ours" in supervisor.status().last_error
    await supervisor.stop()
    assert supervisor.state is ModelState.STOPPED


async def test_every_stop_waits_for_the_workers_end(make, factory):
    supervisor = make()
    client = await ready(supervisor, factory)
    client.may_stop.clear()
    first = asyncio.create_task(supervisor.stop())
    await asyncio.wait_for(client.stopping.wait(), 30)
    second = asyncio.create_task(supervisor.stop())
    done, _ = await asyncio.wait({first, second}, timeout=0.2)
    client.may_stop.set()
    await asyncio.gather(first, second)
    assert not done
