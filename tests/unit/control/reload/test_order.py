"""Reloads that meet: one at a time, and none after the end."""

import asyncio

import pytest

from mlxd.control.reload import Result, Trigger
from mlxd.errors import ShuttingDownError
from tests.unit.control.reload.rig import PATIENCE, QUEUE, TWO

# ---- one at a time ----


async def test_one_that_comes_meanwhile_is_done_after_and_reads_the_file_as_it_is_then(rig):
    first = await rig.hold_prepare(QUEUE.format(1))
    rig.reloader.request(Trigger.FILE)
    rig.save(QUEUE.format(2))
    rig.host.may_prepare.set()
    assert (await first).result is Result.APPLIED
    await rig.until_told(2)
    assert rig.told == [(Trigger.API, Result.APPLIED), (Trigger.FILE, Result.APPLIED)]
    assert rig.max_queue == 2
    assert rig.host.steps.count("commit") == 2


async def test_it_does_not_wait_for_the_models_of_the_one_before(settled):
    first = await settled.hold_settle(TWO)
    second = asyncio.create_task(settled.reload(QUEUE.format(7)))
    async with asyncio.timeout(PATIENCE):
        while settled.host.steps.count("settle") < 2:
            settled.host.settling.clear()
            await settled.host.settling.wait()
    assert settled.max_queue == 7
    settled.host.may_settle.set()
    assert (await first).result is (await second).result is Result.APPLIED


async def test_twenty_requests_are_two_reloads_and_end_in_the_last_text(rig):
    first = await rig.hold_prepare(QUEUE.format(1))
    for number in range(20):
        rig.save(QUEUE.format(100 + number))
        rig.reloader.request(Trigger.FILE)
    rig.host.may_prepare.set()
    await first
    await rig.until_told(2)
    assert rig.max_queue == 119
    rig.reloader.request(Trigger.SIGNAL)  # comes after whatever is left
    async with asyncio.timeout(PATIENCE):
        while (Trigger.SIGNAL, Result.UNCHANGED) not in rig.told:
            await rig.until_told(len(rig.told) + 1)
    assert rig.host.steps.count("commit") == 3
    assert len(rig.told) == 3


async def test_requests_of_different_origin_are_each_done(rig):
    rig.reloader.request(Trigger.FILE)
    rig.reloader.request(Trigger.SIGNAL)
    rig.reloader.request(Trigger.FILE)
    await rig.until_told(2)
    assert {trigger for trigger, _ in rig.told} == {Trigger.FILE, Trigger.SIGNAL}


async def test_a_caller_that_goes_away_stops_nothing(rig):
    leaving = await rig.hold_prepare(TWO)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    rig.host.may_prepare.set()
    await rig.until_told(1)
    assert rig.told == [(Trigger.API, Result.APPLIED)]
    assert "other" in rig.sources


# ---- the end of the daemon ----


async def test_stop_gives_up_what_is_under_way_and_says_so(rig):
    before = rig.host.running
    waiting = await rig.hold_prepare(TWO)
    behind = asyncio.create_task(rig.reload())
    await asyncio.sleep(0)  # it waits for its turn
    rig.reloader.stop()
    for caller in (waiting, behind):
        with pytest.raises(ShuttingDownError) as refused:
            await caller
        assert refused.value.retry_after > 0
    assert (rig.host.running, rig.told) == (before, [])


async def test_after_stop_nothing_is_begun(rig):
    rig.reloader.stop()
    rig.save(TWO)
    rig.reloader.request(Trigger.FILE)
    with pytest.raises(ShuttingDownError):
        await rig.reload()
    assert (rig.host.steps, rig.told) == ([], [])
