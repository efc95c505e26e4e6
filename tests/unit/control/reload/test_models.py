"""Models that cannot follow the file."""

import asyncio

import pytest

from mlxd.control.planner import Action
from mlxd.control.reload import Result, Trigger
from tests.unit.control.reload.rig import PATIENCE, QUEUE, SYNTAX, TWO


async def test_a_touched_model_that_cannot_follow_makes_the_reload_fail(settled):
    settled.host.failed = {"other": "no config.json"}
    outcome = await settled.reload(TWO)
    assert (outcome.result, outcome.problems, outcome.models) == (Result.FAILED, ("other: no config.json",), {"other": "no config.json"})
    assert outcome.sha256 == settled.host.running.sha256
    assert "other" in settled.sources  # it is what the file says; the daemon goes on trying to be it
    assert settled.reloader.last_problems == ()  # the newest file is the one that runs


async def test_the_same_file_is_no_better_while_its_models_are_on_their_way_again(settled):
    settled.host.failed = {"other": "no config.json"}
    await settled.reload(TWO)
    again = await settled.hold_settle(TWO)  # the watcher, a moment later: nobody may read "good" meanwhile
    assert settled.reloader.newest.result is Result.FAILED
    settled.host.failed = {}
    settled.host.may_settle.set()
    assert (await again).result is settled.reloader.newest.result is Result.UNCHANGED


async def test_one_that_ends_after_a_later_one_has_nothing_to_say_of_the_newest_file(settled):
    slow = await settled.hold_settle(TWO)
    assert (await settled.reload(SYNTAX)).result is settled.reloader.newest.result is Result.INVALID
    settled.host.may_settle.set()
    assert (await slow).result is Result.APPLIED
    assert settled.reloader.newest.result is Result.INVALID
    assert settled.reloader.last_problems != ()


async def test_a_model_that_was_well_and_has_crashed_since_is_no_reload_s_business(settled):
    settled.host.failed = {"tiny": "killed by SIGKILL"}
    assert (await settled.reload(TWO)).result is Result.APPLIED
    assert (await settled.reload()).result is Result.UNCHANGED


async def test_a_model_that_never_came_up_is_reported_until_it_does(rig):
    rig.host.failed = {"tiny": "no config.json"}
    assert (await rig.reload()).models == {"tiny": "no config.json"}
    outcome = await rig.reload(TWO)
    assert (outcome.result, outcome.models) == (Result.FAILED, {"tiny": "no config.json"})
    rig.host.failed = {}
    assert (await rig.reload()).result is Result.UNCHANGED
    rig.host.failed = {"tiny": "killed by SIGKILL"}
    assert (await rig.reload()).result is Result.UNCHANGED


async def test_a_removed_model_is_not_reported(rig):
    rig.host.failed = {"tiny": "no config.json"}
    await rig.reload(TWO)
    rig.host.failed = {}
    outcome = await rig.reload('[models.other]\nsource = "org/other"\n')
    assert (outcome.result, [model.action for model in outcome.plan.models]) == (Result.APPLIED, [Action.UNLOAD])


@pytest.mark.parametrize(("failed", "result"), [({}, Result.UNCHANGED), ({"other": "out of memory"}, Result.FAILED)])
async def test_who_asks_after_the_watcher_hears_what_it_would_have_heard_before_it(settled, failed, result):
    settled.host.may_settle.clear()
    settled.save(TWO)
    settled.reloader.request(Trigger.FILE)
    await asyncio.wait_for(settled.host.settling.wait(), PATIENCE)  # the file is taken over, and a model loads
    asked = asyncio.create_task(settled.reload())
    async with asyncio.timeout(PATIENCE):
        while settled.host.steps.count("settle") < 2:
            settled.host.settling.clear()
            await settled.host.settling.wait()
    assert not asked.done()
    settled.host.failed = failed
    settled.host.may_settle.set()
    outcome = await asked
    assert (outcome.result, outcome.models) == (result, failed)
    assert outcome.plan.is_empty


async def test_who_asks_long_after_the_watcher_hears_it_too(settled):
    settled.host.failed = {"other": "out of memory"}
    settled.save(TWO)
    settled.reloader.request(Trigger.FILE)
    await settled.until_told(1)
    assert (await settled.reload()).models == {"other": "out of memory"}
    settled.host.failed = {}
    assert (await settled.reload()).result is Result.UNCHANGED


async def test_where_everything_is_settled_nobody_is_waited_for(settled):
    settled.host.may_settle.clear()  # a model restarts after a crash, say
    assert (await settled.reload()).result is Result.UNCHANGED


async def test_a_model_touched_again_is_waited_for_again(settled):
    """Whoever waited for what it was to be before knows nothing of what it is to be now."""
    first = await settled.hold_settle(QUEUE.format(1))
    settled_before, settled.host.may_settle = settled.host.may_settle, asyncio.Event()
    second = await settled.hold_settle(QUEUE.format(2))
    settled_before.set()
    assert (await first).result is Result.APPLIED
    settled.host.settling.clear()
    third = asyncio.create_task(settled.reload())
    await asyncio.wait_for(settled.host.settling.wait(), PATIENCE)
    settled.host.failed = {"tiny": "cache.memory: there is no room"}
    settled.host.may_settle.set()
    assert (await second).result is (await third).result is Result.FAILED
