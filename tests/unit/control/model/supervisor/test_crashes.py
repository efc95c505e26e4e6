"""Workers that are lost, and loads that fail."""

import asyncio

import pytest
from structlog.testing import capture_logs

from mlxd.errors import (
    ConfigError,
    MlxdError,
    ModelFailedError,
    ModelLoadingError,
    ModelSourceError,
    ModelUnreachableError,
    VersionMismatchError,
    WorkerLostError,
)
from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import QUICK, SLOW, in_back_off, ready

# ---- crashes ----


@pytest.mark.parametrize(("reason", "event"), [("crash", "worker_crashed"), ("hang", "worker_hung")])
async def test_a_lost_worker_is_replaced(make, factory, telemetry, reason, event):
    supervisor = make(worker=QUICK)
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
    supervisor = make(worker=SLOW)
    client = await ready(supervisor, factory)
    client.may_stop.clear()
    client.lost.set()
    await reach(supervisor, ModelState.LOADING)
    with pytest.raises(ModelLoadingError):
        supervisor.require_ready()
    client.end("crash")
    await asyncio.wait_for(client.stopping.wait(), PATIENCE)
    with pytest.raises(ModelLoadingError):
        supervisor.require_ready()
    client.may_stop.set()


async def test_in_back_off_the_time_left_is_told(make, factory):
    supervisor = make(worker=SLOW)
    await in_back_off(supervisor, factory)
    assert 3590 < supervisor.status().restart_in <= 3600
    with pytest.raises(ModelLoadingError, match="killed by SIGKILL") as caught:
        supervisor.require_ready()
    assert 3590 < caught.value.retry_after <= 3600


async def test_stop_during_back_off(make, factory):
    supervisor = make(worker=SLOW)
    await in_back_off(supervisor, factory)
    await asyncio.wait_for(supervisor.stop(), PATIENCE)
    assert supervisor.state is ModelState.STOPPED
    assert len(factory.made) == 1


async def test_after_too_many_crashes_a_model_has_failed_and_is_tried_again_all_the_same(make, factory, telemetry):
    supervisor = make(worker=SLOW | {"crash_limit": 1})
    (await ready(supervisor, factory)).end("crash", "killed by SIGABRT: out of memory")
    await reach(supervisor, ModelState.FAILED)
    status = supervisor.status()
    assert status.last_error == "1 crashes within 600 s; the last: killed by SIGABRT: out of memory"
    assert status.pid is None
    assert 3590 < status.restart_in <= 3600
    with pytest.raises(ModelFailedError, match="1 crashes within 600 s") as caught:
        supervisor.require_ready()
    assert 3590 < caught.value.retry_after <= 3600
    assert telemetry.restarted == [("tiny", "crash")]
    await ready(supervisor, factory)  # an operator need not wait
    assert supervisor.status().restart_in is None


async def test_crashes_are_never_the_end(make, factory):
    supervisor = make(worker=QUICK)
    supervisor.want()
    for _ in range(8):
        client = await factory.next()
        client.become_ready()
        await reach(supervisor, ModelState.READY)
        client.end("crash")
        await asyncio.wait_for(client.stopped.wait(), PATIENCE)
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)


# ---- loads that fail ----


@pytest.mark.parametrize("error", [ModelSourceError("model.safetensors is truncated"), ConfigError(["bad"]), VersionMismatchError("old")])
async def test_what_another_try_cannot_mend_fails_at_once(make, factory, telemetry, error):
    supervisor = make(worker=QUICK)
    supervisor.want()
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
async def test_other_loads_are_tried_again_for_ever(make, factory, telemetry, error):
    supervisor = make(worker=QUICK)
    supervisor.want()
    for _ in range(8):
        (await factory.next()).refuse(error)
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)
    assert telemetry.restarted == [("tiny", "load_failed")] * 8


async def test_a_network_that_is_down_is_waited_for_beyond_the_limit(make, factory):
    supervisor = make(worker=QUICK)
    supervisor.want()
    for _ in range(6):
        (await factory.next()).refuse(ModelUnreachableError("no network"))
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)
