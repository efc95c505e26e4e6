"""One model's life, with workers whose every move the test makes."""

import asyncio

import pytest
from structlog.testing import capture_logs

from mlxd.errors import (
    ConfigError,
    InsufficientMemoryError,
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
from mlxd.wire.messages import ErrorInfo, Failed, NeedsMemory, Progress, StepStats
from tests.support.scripted_client import READY, reach
from tests.support.wire_requests import generate

QUICK = {"restart_backoff": "1ms", "restart_backoff_max": "2ms", "crash_limit": 3}
SLOW = {"restart_backoff": "1h", "restart_backoff_max": "1h"}


async def ready(supervisor, factory):
    supervisor.want()
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
    supervisor.quiesce()
    assert supervisor.status().state is ModelState.DRAINING
    with pytest.raises(ShuttingDownError) as caught:
        supervisor.require_ready()
    assert caught.value.retry_after > 0


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
    await asyncio.wait_for(client.stopping.wait(), 30)
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
    await asyncio.wait_for(supervisor.stop(), 30)
    assert supervisor.state is ModelState.STOPPED
    assert len(factory.made) == 1


async def test_too_many_crashes_are_the_end_until_an_operator_starts_it(make, factory, telemetry):
    supervisor = make(worker=QUICK)
    with capture_logs() as logs:
        supervisor.want()
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
async def test_other_loads_are_tried_again_until_the_limit(make, factory, telemetry, error):
    supervisor = make(worker=QUICK)
    supervisor.want()
    for _ in range(3):
        (await factory.next()).refuse(error)
    await reach(supervisor, ModelState.FAILED)
    assert telemetry.restarted == [("tiny", "load_failed")] * 2


async def test_a_network_that_is_down_is_waited_for_beyond_the_limit(make, factory):
    supervisor = make(worker=QUICK)
    supervisor.want()
    for _ in range(6):
        (await factory.next()).refuse(ModelUnreachableError("no network"))
    (await factory.next()).become_ready()
    await reach(supervisor, ModelState.READY)


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
    await asyncio.wait_for(client.stopped.wait(), 30)
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
    await asyncio.wait_for(client.stopping.wait(), 30)
    second = asyncio.create_task(supervisor.stop())
    done, _ = await asyncio.wait({first, second}, timeout=0.2)
    client.may_stop.set()
    await asyncio.gather(first, second)
    assert not done


# ---- another configuration ----


async def settled(supervisor):
    return await asyncio.wait_for(supervisor.wait_settled(), 30)


async def probed(client):
    """Become ready and pass the probe."""
    client.become_ready()
    client.answer(await client.request())


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
    await asyncio.wait_for(old.stopped.wait(), 30)
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
    await asyncio.wait_for(new.stopped.wait(), 30)


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
    async with asyncio.timeout(30):
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
    await asyncio.wait_for(old.stopped.wait(), 30)
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
    await asyncio.wait_for(old.stopped.wait(), 30)


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
        await asyncio.wait_for(supervisor.wait_gone(), 30)
    assert "model_drain_timed_out" in [entry["event"] for entry in logs]
    assert client.stopped.is_set()


# ---- memory ----


async def test_memory_is_reserved_before_a_model_loads_and_given_back_after(make, factory):
    make.limit = 100
    supervisor = make()
    supervisor.want()
    client = await factory.next()
    await client.need(60)
    assert make.memory.by_model() == {"tiny": 60}
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.unload()
    await asyncio.wait_for(supervisor.wait_gone(), 30)
    assert make.memory.by_model() == {}


async def test_a_model_that_never_fits_says_what_it_needs_and_who_has_it(make, factory):
    make.limit = 2**30
    first, second = make("first"), make("second")
    first.want()
    client = await factory.next()
    await client.need(2**29)
    client.become_ready()
    await reach(first, ModelState.READY)
    second.want()
    await (await factory.next()).need(2**30)
    await reach(second, ModelState.FAILED)
    assert second.status().last_error == (
        'the model "second" needs 1GiB (1GiB of weights, 0B of cache, 0B to compute), '
        "but memory.limit is 1GiB, of which first 512MiB is reserved"
    )
    assert first.state is ModelState.READY  # what loads by itself pushes nobody out


async def test_it_is_tried_again_once_there_is_memory(make, factory):
    make.limit = 100
    first, second = make("first"), make("second")
    first.want()
    client = await factory.next()
    await client.need(60)
    client.become_ready()
    await reach(first, ModelState.READY)
    second.want()
    await (await factory.next()).need(60)
    await reach(second, ModelState.FAILED)
    make.memory.set_limit(110)  # not enough
    assert second.state is ModelState.FAILED
    first.unload()
    again = await factory.next()
    await again.need(60)
    again.become_ready()
    await reach(second, ModelState.READY)


async def test_a_request_pushes_out_who_was_used_longest_ago_but_nobody_busy_or_pinned(make, factory):
    make.limit = 400
    clients = {}
    for name in ("pinned", "busy", "old", "new"):
        supervisor = make(name, lifecycle={"pin": name == "pinned"})
        supervisor.want()
        clients[name] = await factory.next()
        await clients[name].need(100)
        clients[name].become_ready()
        await reach(supervisor, ModelState.READY)
        supervisor.require_ready()
    clients["busy"].submit(generate("a"))
    lazy = make("lazy", lifecycle={"load": "lazy"})
    asking = asyncio.create_task(lazy.become_ready())
    client = await factory.next()
    await client.need(100)
    assert make.memory.by_model() == {"pinned": 100, "busy": 100, "new": 100, "lazy": 100}
    client.become_ready()
    await asyncio.wait_for(asking, 30)
    assert clients["old"].stopped.is_set()


async def test_a_request_for_what_does_not_fit_is_told_so_and_the_next_one_tries_again(make, factory):
    make.limit = 100
    lazy = make(lifecycle={"load": "lazy"})
    for _ in range(2):
        asking = asyncio.create_task(lazy.become_ready())
        await (await factory.next()).need(101)
        with pytest.raises(InsufficientMemoryError, match="needs 101B") as caught:
            await asyncio.wait_for(asking, 30)
        assert caught.value.retry_after > 0
        await reach(lazy, ModelState.STOPPED)


async def test_where_both_do_not_fit_the_old_one_drains_first(make, factory):
    make.limit = 100
    supervisor = make()
    supervisor.want()
    old = await factory.next()
    await old.need(60)
    old.become_ready()
    await reach(supervisor, ModelState.READY)
    running = old.submit(generate("a"))
    supervisor.apply(make.table("org/other"))
    new = await factory.next()
    needing = asyncio.create_task(new.need(70))
    await reach(supervisor, ModelState.LOADING)
    with pytest.raises(ModelLoadingError):
        supervisor.require_ready()
    assert not needing.done()
    running.cancel()
    await asyncio.wait_for(needing, 30)
    assert old.stopped.is_set()
    await probed(new)
    assert await settled(supervisor) is None
    assert make.memory.by_model() == {"tiny": 70}


async def test_and_where_the_new_one_cannot_load_the_old_one_is_put_back(make, factory):
    make.limit = 100
    supervisor = make()
    supervisor.want()
    old = await factory.next()
    await old.need(60)
    old.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.apply(make.table("org/other"))
    await (await factory.next()).need(101)
    back = await factory.next()
    assert back.load.source == "org/tiny"
    await back.need(60)
    back.become_ready()
    assert "needs 101B" in await settled(supervisor)
    assert supervisor.require_ready().client is back


async def test_a_cache_that_grows_beyond_the_limit_is_refused(make, factory):
    make.limit = 1000
    supervisor = make(cache={"memory": "300B"})
    supervisor.want()
    client = await factory.next()
    await client.watcher.on_need(NeedsMemory(weights=500, cache=300, transients=0))
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.apply(make.table(cache={"memory": "600B"}))
    assert "memory.limit is 1KB" in await settled(supervisor)
    assert supervisor.status().limits.cache_bytes == 300
    assert make.memory.by_model() == {"tiny": 800}
    make.memory.set_limit(2000)
    assert await settled(supervisor) is None
    assert supervisor.status().limits.cache_bytes == 600
    assert make.memory.by_model() == {"tiny": 1100}


async def test_an_idle_model_is_unloaded_and_a_busy_one_is_not(make, factory):
    supervisor = make(lifecycle={"idle_unload": "20ms"})
    supervisor.want()
    client = await factory.next()
    running = client.submit(generate("a"))
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    done, _ = await asyncio.wait({asyncio.create_task(client.stopped.wait())}, timeout=0.1)
    assert not done
    running.cancel()
    await reach(supervisor, ModelState.STOPPED)
    assert supervisor.status().desired is ModelState.STOPPED
