"""Another configuration takes a running model's place."""

import asyncio

from structlog.testing import capture_logs

from mlxd.errors import ModelSourceError, WorkerLostError
from mlxd.types import ModelState
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Failed
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.support.wire_requests import generate
from tests.unit.control.model.supervisor.rig import QUICK, probed, ready, settled


async def test_another_source_loads_beside_proves_itself_and_takes_over_at_once(make, factory, telemetry):
    supervisor = make()
    old = await ready(supervisor, factory)
    running = old.submit(generate("a"))
    supervisor.apply(make.table("org/other"))
    new = await factory.next()
    assert new.load.source == "org/other"
    assert supervisor.state is ModelState.READY
    assert supervisor.status().is_replacing
    assert supervisor.require_ready().client is old
    new.become_ready()
    probe = await new.request()
    assert supervisor.require_ready().client is old  # not before it has generated something
    new.answer(probe)
    while supervisor.require_ready().client is old:
        await supervisor.wait_changed()
    assert supervisor.state is ModelState.READY
    assert not old.stopped.is_set()
    assert supervisor.status().leaving == (old.pid,)
    running.cancel()
    assert await settled(supervisor) is None
    await asyncio.wait_for(old.stopped.wait(), PATIENCE)
    assert telemetry.restarted == []


async def test_a_replacement_that_cannot_load_leaves_the_old_one_serving(make, factory):
    supervisor = make(worker=QUICK)
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other", worker=QUICK))
    (await factory.next()).refuse(WorkerLostError("killed by SIGKILL"))
    assert await settled(supervisor) == "killed by SIGKILL"
    assert supervisor.require_ready().client is old
    assert supervisor.status().differs == "killed by SIGKILL"
    supervisor.apply(make.table(worker=QUICK))  # the edit is taken back
    assert await settled(supervisor) is None
    assert len(factory.made) == 2


async def test_a_replacement_that_fails_its_probe_leaves_the_old_one_serving(make, factory):
    supervisor = make()
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other"))
    new = await factory.next()
    new.become_ready()
    probe = await new.request()
    new.streams.push(Failed(id=probe.id, error=ErrorInfo(code="generation_failed", message="nan in the logits")))
    assert await settled(supervisor) == "nan in the logits"
    assert supervisor.require_ready().client is old
    await asyncio.wait_for(new.stopped.wait(), PATIENCE)


async def test_a_replacement_that_hangs_in_its_probe_is_given_up(make, factory):
    supervisor = make()
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other", worker={"hang_timeout": "20ms", "heartbeat_interval": "1ms"}))
    (await factory.next()).become_ready()
    assert "took too long" in await settled(supervisor)
    assert supervisor.require_ready().client is old


async def test_the_last_of_several_edits_wins(make, factory):
    supervisor = make()
    await ready(supervisor, factory)
    supervisor.apply(make.table("org/second"))
    second = await factory.next()
    supervisor.apply(make.table("org/third"))
    third = await factory.next()
    assert second.stopped.is_set()
    assert third.load.source == "org/third"
    await probed(third)
    assert await settled(supervisor) is None
    assert supervisor.require_ready().client is third


async def test_an_edit_that_is_taken_back_while_its_worker_loads(make, factory):
    supervisor = make()
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other"))
    new = await factory.next()
    supervisor.apply(make.table())
    assert await settled(supervisor) is None
    assert new.stopped.is_set()
    assert supervisor.require_ready().client is old
    assert not old.stopped.is_set()


async def test_live_settings_reach_the_running_worker(make, factory):
    supervisor = make()
    client = await ready(supervisor, factory)
    client.may_reconfigure.clear()
    supervisor.apply(make.table(batching={"max_queue": 3}, worker={"hang_timeout": "7s", "load_timeout": "8s"}))
    settling = asyncio.create_task(supervisor.wait_settled())
    async with asyncio.timeout(PATIENCE):
        await client.asked_to_reconfigure.wait()
    assert not settling.done()
    assert supervisor.status().limits.max_queue == 256  # what it has, not what it was asked to take
    client.may_reconfigure.set()
    assert await settled(supervisor) is None
    assert supervisor.status().limits.max_queue == 3
    assert client.watched == (7.0, 8.0)
    assert factory.made == [client]


async def test_a_replacement_starts_with_the_newest_limits(make, factory):
    supervisor = make()
    await ready(supervisor, factory)
    supervisor.apply(make.table("org/other"))
    new = await factory.next()
    supervisor.apply(make.table("org/other", batching={"max_queue": 3}))
    await probed(new)
    assert await settled(supervisor) is None
    assert supervisor.status().limits.max_queue == 3


async def test_a_crash_while_a_replacement_loads(make, factory, telemetry):
    """What loads is what is wanted: it goes on, and nothing else is started."""
    supervisor = make(worker=QUICK)
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other", worker=QUICK))
    new = await factory.next()
    old.end("crash")
    await asyncio.wait_for(old.stopped.wait(), PATIENCE)
    await reach(supervisor, ModelState.LOADING)
    await probed(new)
    assert await settled(supervisor) is None
    assert supervisor.require_ready().client is new
    assert len(factory.made) == 2


async def test_restart_gives_a_new_worker_without_a_gap(make, factory):
    supervisor = make()
    old = await ready(supervisor, factory)
    supervisor.restart()
    new = await factory.next()
    assert supervisor.require_ready().client is old
    await probed(new)
    assert await settled(supervisor) is None
    assert supervisor.require_ready().client is new
    await asyncio.wait_for(old.stopped.wait(), PATIENCE)


async def test_another_configuration_revives_a_failed_model(make, factory):
    supervisor = make()
    supervisor.want()
    (await factory.next()).refuse(ModelSourceError("model.safetensors is truncated"))
    await reach(supervisor, ModelState.FAILED)
    supervisor.apply(make.table(batching={"max_queue": 3}))  # not what it failed for
    assert supervisor.state is ModelState.FAILED
    supervisor.apply(make.table("org/other"))
    (await factory.next()).become_ready()
    assert await settled(supervisor) is None


async def test_a_drain_that_takes_too_long_is_ended(make, factory):
    make.drain_timeout = 0.02
    supervisor = make()
    client = await ready(supervisor, factory)
    client.submit(generate("a"))
    with capture_logs() as logs:
        supervisor.unload()
        await asyncio.wait_for(supervisor.wait_gone(), PATIENCE)
    assert "model_drain_timed_out" in [entry["event"] for entry in logs]
    assert client.stopped.is_set()
