"""Failures that pass by themselves: an external disk, a hub that is away; and orders that must not make a good model worse."""

import asyncio

import pytest

from mlxd.errors import ModelLoadingError, ModelSourceError, ModelUnreachableError, WorkerLostError
from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import QUICK, SLOW, asked, probed, ready, settled

AWAY = ModelUnreachableError("/mnt/disk/model does not exist now")


async def test_a_source_that_is_away_is_waited_for_and_status_says_so(make, factory):
    supervisor = make(worker=SLOW)
    supervisor.want()
    (await factory.next()).refuse(AWAY)
    assert await settled(supervisor) == AWAY.message
    status = supervisor.status()
    assert (status.state, status.last_error) == (ModelState.LOADING, AWAY.message)
    assert 3590 < status.restart_in <= 3600
    with pytest.raises(ModelLoadingError, match="does not exist now"):
        supervisor.require_ready()


async def test_a_lazy_model_whose_source_is_away_answers_at_once_and_is_not_started_by_each_request(make, factory):
    lazy = make(worker=SLOW, lifecycle={"load": "lazy"})
    asking = asyncio.create_task(asked(lazy))
    (await factory.next()).refuse(AWAY)
    with pytest.raises(ModelLoadingError, match="does not exist now") as caught:
        await asyncio.wait_for(asking, PATIENCE)
    assert caught.value.retry_after > 3590
    await reach(lazy, ModelState.STOPPED)
    with pytest.raises(ModelLoadingError, match="does not exist now"):
        await asyncio.wait_for(asked(lazy), PATIENCE)
    assert len(factory.made) == 1


async def test_a_lazy_model_is_tried_again_by_a_request_once_the_wait_is_over(make, factory):
    lazy = make(worker=QUICK, lifecycle={"load": "lazy"})
    asking = asyncio.create_task(asked(lazy))
    (await factory.next()).refuse(AWAY)
    with pytest.raises(ModelLoadingError):
        await asyncio.wait_for(asking, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while lazy.status().restart_in is not None:
            await lazy.wait_changed()
    asking = asyncio.create_task(asked(lazy))
    client = await factory.next()
    client.become_ready()
    assert (await asyncio.wait_for(asking, PATIENCE)).client is client


async def test_a_replacement_whose_source_is_away_is_tried_again_beside_what_serves(make, factory):
    supervisor = make(worker=QUICK)
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other", worker=QUICK))
    for _ in range(4):
        (await factory.next()).refuse(AWAY)
        await supervisor.wait_changed()
        assert supervisor.require_ready().client is old
    await probed(await factory.next())
    assert await settled(supervisor) is None
    assert supervisor.require_ready().client is not old


async def test_what_was_good_is_put_back_while_the_replacement_s_source_is_away(make, factory):
    """The old worker crashes meanwhile: it is not the new one that is waited for."""
    supervisor = make(worker=QUICK)
    old = await ready(supervisor, factory)
    supervisor.apply(make.table("org/other", worker=SLOW))
    (await factory.next()).refuse(AWAY)
    await settled(supervisor)
    supervisor.apply(make.table("org/other", worker=SLOW | {"restart_backoff": "1ms"}))
    old.end("crash")
    back = await factory.next()
    assert back.load.source == "org/tiny"
    back.become_ready()
    await reach(supervisor, ModelState.READY)
    assert supervisor.status().differs is not None


@pytest.mark.parametrize("error", [ModelSourceError("config.json is gone"), WorkerLostError("killed by SIGKILL"), AWAY])
async def test_a_restart_that_fails_is_told_and_poisons_nothing(make, factory, error):
    supervisor = make(worker=QUICK)
    old = await ready(supervisor, factory)
    supervisor.restart()
    (await factory.next()).refuse(error)
    assert await settled(supervisor) == error.message
    assert supervisor.require_ready().client is old
    assert supervisor.status().differs is None  # what runs is what the file says
    old.end("crash")
    again = await factory.next()
    again.become_ready()
    await reach(supervisor, ModelState.READY)
    assert await settled(supervisor) is None


async def test_orders_while_the_daemon_stops_begin_nothing(make, factory):
    supervisor = make()
    await ready(supervisor, factory)
    supervisor.finish()
    supervisor.unload()
    supervisor.want()
    supervisor.restart()
    for _ in range(5):
        await asyncio.sleep(0)
    assert supervisor.state is ModelState.DRAINING
    assert len(factory.made) == 1


async def test_which_models_can_serve_on_demand(make, factory):
    lazy = make(worker=SLOW, lifecycle={"load": "lazy"})
    assert lazy.status().on_demand
    asking = asyncio.create_task(asked(lazy))
    client = await factory.next()
    assert lazy.status().on_demand  # whoever asks now waits, and is answered
    client.refuse(AWAY)
    with pytest.raises(ModelLoadingError):
        await asyncio.wait_for(asking, 30)
    assert not lazy.status().on_demand
    other = make("other")
    await ready(other, factory)
    other.unload()
    await reach(other, ModelState.STOPPED)
    assert other.status().on_demand
    other.drain()
    assert not other.status().on_demand
