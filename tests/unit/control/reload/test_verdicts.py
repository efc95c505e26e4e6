"""What a reload waits for, and what is said of it once its models have gone on."""

import asyncio

import pytest

from mlxd.control.reload import Result
from tests.unit.control.reload.rig import PATIENCE, SYNTAX, TWO

THREE = TWO + '[models.third]\nsource = "org/third"\n'


async def test_a_model_that_becomes_well_after_the_reload_makes_it_good(settled):
    settled.host.failed = {"other": "memory.limit is 1GiB, of which old 1GiB is reserved"}
    assert (await settled.reload(TWO)).result is Result.FAILED
    assert not settled.reloader.is_good
    settled.host.failed = {}
    assert settled.reloader.is_good


async def test_nor_is_it_good_while_the_model_is_only_on_its_way_again(settled):
    settled.host.failed = {"other": "no config.json"}
    await settled.reload(TWO)
    settled.host.may_settle.clear()
    settled.host.failed = {}
    assert not settled.reloader.is_good
    settled.host.may_settle.set()
    assert settled.reloader.is_good


async def test_a_bad_file_is_bad_however_well_the_models_are(settled):
    await settled.reload(SYNTAX)
    assert not settled.reloader.is_good


async def test_a_reload_does_not_wait_for_a_model_that_it_does_not_touch(settled):
    fetching = await settled.hold_settle(TWO)  # for an hour, say
    waited = settled.host.waited
    settled.host.may_settle = asyncio.Event()
    settled.host.may_settle.set()
    assert (await settled.reload(TWO.replace(*QUEUE_5))).result is Result.APPLIED
    assert not fetching.done()
    assert waited == [{"other"}, {"tiny"}]
    fetching.cancel()


QUEUE_5 = ('source = "builtin:smollm2-135m"\n', 'source = "builtin:smollm2-135m"\nbatching.max_queue = 5\n')


async def test_an_unchanged_file_waits_for_no_model_of_the_start(rig):
    rig.host.may_settle.clear()
    async with asyncio.timeout(PATIENCE):
        assert (await rig.reload()).result is Result.UNCHANGED
    assert rig.host.waited == []


@pytest.mark.parametrize("text", [TWO, THREE])
async def test_one_that_nobody_waited_for_and_that_fails_later_is_told(settled, text):
    """By the gauge at once, and by the next reload."""
    fetching = await settled.hold_settle(TWO)
    settled.host.may_settle = asyncio.Event()
    settled.host.may_settle.set()
    settled.host.on_their_way = {"other"}
    await settled.reload(TWO.replace(*QUEUE_5))
    settled.host.failed = {"other": "no such repository"}
    assert not settled.reloader.is_good
    outcome = await settled.reload(text.replace(*QUEUE_5))
    assert (outcome.result, outcome.models) == (Result.FAILED, {"other": "no such repository"})
    fetching.cancel()


async def test_a_model_of_the_start_that_cannot_be_loaded_is_no_failed_reload(rig):
    rig.host.failed = {"tiny": "no config.json"}
    assert rig.reloader.is_good
    assert (await rig.reload()).result is Result.FAILED  # whoever asks is told
    assert not rig.reloader.is_good
