"""Who has a worker, and for how long still."""

import asyncio

from mlxd.control.model.leases import Leases
from tests.support.patience import PATIENCE


async def test_each_counts_from_its_beginning_to_its_end_however_often_that_is_said():
    told = []
    leases = Leases(lambda: told.append(len(leases)))
    first, second = leases.begin(), leases.begin()
    assert len(leases) == 2
    first.end()
    first.end()
    assert (len(leases), told) == (1, [1])
    waiting = asyncio.create_task(leases.wait_none())
    await asyncio.sleep(0)
    assert not waiting.done()
    second.end()
    await asyncio.wait_for(waiting, PATIENCE)
    assert told == [1, 0]


async def test_what_is_left_is_what_requests_take_as_a_rule_less_what_they_have_taken():
    leases = Leases(lambda: None)
    assert leases.rest(0.0) == 0.0
    lease = leases.begin()
    assert leases.rest(lease.began) == 10.0  # nothing is known yet
    assert leases.rest(lease.began + 4.0) == 6.0
    assert leases.rest(lease.began + 60.0) == 1.0  # it has taken longer than most: nobody can say
    younger = leases.begin()
    younger.began = lease.began + 5.0
    assert leases.rest(lease.began + 6.0) == 9.0  # the one that lasts longest


async def test_it_is_learnt_from_those_that_ended():
    leases = Leases(lambda: None)
    for _ in range(30):
        leases.begin().end()
    lease = leases.begin()
    assert leases.rest(lease.began) == 1.0
