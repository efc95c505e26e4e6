"""What the caller thought runs, and what a dry run shows."""

import asyncio

from mlxd.control.reload import Result
from tests.unit.control.reload.rig import ONE, SYNTAX, TWO


async def test_a_reload_that_expects_what_runs(settled):
    outcome = await settled.reload(TWO, if_match=settled.host.running.sha256)
    assert outcome.result is Result.APPLIED


async def test_a_reload_that_expects_something_else_is_stale(settled):
    before = settled.host.running
    outcome = await settled.reload(TWO, if_match="5e" * 32)
    assert (outcome.result, outcome.sha256, settled.host.steps) == (Result.STALE, before.sha256, [])
    assert before.sha256 in outcome.problems[0]
    assert settled.host.running is before


async def test_the_expectation_is_of_the_moment_it_begins(rig):
    """It waits for another reload, after which another configuration runs."""
    thought = rig.host.running.sha256
    first = await rig.hold_prepare(TWO)
    second = asyncio.create_task(rig.reload(if_match=thought))
    rig.host.may_prepare.set()
    assert (await first).result is Result.APPLIED
    assert (await second).result is Result.STALE


async def test_a_dry_run_shows_and_changes_nothing(settled):
    before = settled.host.running
    settled.save(TWO)
    outcome = await settled.reloader.dry_run(if_match=before.sha256)
    assert (outcome.result, [model.name for model in outcome.plan.models]) == (Result.PLANNED, ["other"])
    assert (await settled.reloader.dry_run(if_match="5e" * 32)).result is Result.STALE
    settled.save(SYNTAX)
    assert (await settled.reloader.dry_run()).result is Result.INVALID
    settled.save(ONE)
    assert (await settled.reloader.dry_run()).result is Result.UNCHANGED
    assert (settled.host.steps, settled.told, settled.reloader.last_problems) == ([], [], ())
    assert settled.host.running is before


async def test_a_text_is_compared_with_what_runs_whatever_the_file_says(settled):
    settled.save(SYNTAX)
    assert (await settled.reloader.compare(TWO)).result is Result.PLANNED
    assert (await settled.reloader.compare(ONE)).result is Result.UNCHANGED
    assert (await settled.reloader.compare(SYNTAX)).result is Result.INVALID
    assert settled.host.steps == []
