"""How a file is taken over, or refused."""

import hashlib

import pytest
from structlog.testing import capture_logs

from mlxd.config.fields import Reload
from mlxd.control.planner import Action
from mlxd.control.reload import Result, Trigger
from mlxd.errors import ListenError
from tests.unit.control.reload.rig import ONE, QUEUE, SYNTAX, TWO

# ---- the stages ----


async def test_a_change_is_prepared_then_committed_then_waited_for(settled):
    outcome = await settled.reload(TWO)
    assert settled.host.steps == ["prepare", "commit", "settle"]
    assert (outcome.result, outcome.problems, outcome.models) == (Result.APPLIED, (), {})
    assert outcome.sha256 == settled.host.running.sha256 == hashlib.sha256(TWO.encode()).hexdigest()
    assert [(model.name, model.action) for model in outcome.plan.models] == [("other", Action.LOAD)]
    assert settled.told == [(Trigger.API, Result.APPLIED)]


async def test_a_comment_is_taken_over_although_it_changes_nothing(settled):
    outcome = await settled.reload("# mine\n" + ONE)
    assert (outcome.result, outcome.plan.is_empty) == (Result.UNCHANGED, True)
    assert outcome.sha256 == settled.host.running.sha256 == hashlib.sha256(f"# mine\n{ONE}".encode()).hexdigest()
    assert settled.host.running.provenance["models.tiny.source"] == 3  # what is said of it is what the file says now


async def test_a_secret_is_read_anew_though_the_file_is_the_same(rig):
    secret = rig.path.parent / "key"
    secret.write_text("old")
    with_key = '[server]\napi_keys = ["file:key"]\n' + ONE
    await rig.reload(with_key)
    secret.write_text("new")
    outcome = await rig.reload()
    assert outcome.result is Result.APPLIED
    assert [change.name for change in outcome.plan.live] == ["server.api_keys"]
    assert rig.host.running.config.server.api_keys == ("new",)


async def test_what_cannot_be_prepared_is_refused_and_nothing_changes(settled):
    before = settled.host.running
    settled.host.refusal = ListenError("cannot listen on 127.0.0.1:1: permission denied")
    outcome = await settled.reload(TWO)
    assert settled.host.steps == ["prepare"]
    assert (outcome.result, outcome.problems) == (Result.REFUSED, ("cannot listen on 127.0.0.1:1: permission denied",))
    assert [model.name for model in outcome.plan.models] == ["other"]  # what it would have been
    assert settled.host.running is before
    assert outcome.sha256 == before.sha256
    assert settled.told == [(Trigger.API, Result.REFUSED)]


async def test_a_change_that_needs_a_restart_is_refused_by_name(settled, monkeypatch):
    monkeypatch.setattr("mlxd.config.diff.reload_class", lambda _: Reload.DAEMON)  # no field is of this class at present
    outcome = await settled.reload(QUEUE.format(5))
    assert settled.host.steps == []
    assert outcome.result is Result.REFUSED
    assert outcome.problems == ("models.tiny.batching.max_queue: a change needs a restart of the daemon",)


@pytest.mark.parametrize("text", [SYNTAX, "", ONE + "souce = 3\n", "\xff"])
async def test_a_file_with_problems_changes_nothing(settled, text):
    before = settled.host.running
    settled.path.write_bytes(text.encode("latin-1"))
    outcome = await settled.reload()
    assert settled.host.steps == []
    assert (outcome.result, outcome.sha256) == (Result.INVALID, before.sha256)
    assert outcome.problems
    assert all(problem.startswith(f"{settled.path}") for problem in outcome.problems)
    assert settled.host.running is before


async def test_a_file_that_is_gone_changes_nothing(settled):
    settled.path.unlink()
    outcome = await settled.reload()
    assert (outcome.result, settled.host.steps) == (Result.INVALID, [])
    assert "no such file" in outcome.problems[0]
    assert settled.reloader.last_read is None


async def test_a_defect_of_ours_is_told_and_the_next_reload_comes(settled):
    settled.host.refusal = KeyError("listeners")
    with capture_logs() as logs:
        outcome = await settled.reload(TWO)
    assert (outcome.result, settled.told) == (Result.FAILED, [(Trigger.API, Result.FAILED)])
    assert "internal error" in outcome.problems[0]
    assert settled.reloader.last_problems == outcome.problems
    assert [entry["event"] for entry in logs] == ["reload_crashed"]
    settled.host.refusal = None
    assert (await settled.reload()).result is Result.APPLIED


# ---- what is wrong with the newest file ----


async def test_problems_stand_until_a_file_is_good(rig):
    bad = await rig.reload(SYNTAX)
    assert rig.reloader.last_problems == bad.problems != ()
    await rig.reload(TWO)
    assert rig.reloader.last_problems == ()


async def test_the_good_file_put_back_clears_them(rig):
    await rig.reload(SYNTAX)
    assert (await rig.reload(ONE)).result is Result.UNCHANGED
    assert rig.reloader.last_problems == ()


async def test_a_stale_reload_says_nothing_of_the_file(rig):
    bad = await rig.reload(SYNTAX)
    await rig.reload(ONE, if_match="5e" * 32)
    assert rig.reloader.last_problems == bad.problems


async def test_a_refusal_stands_too(rig):
    rig.host.refusal = ListenError("the port is taken")
    await rig.reload(TWO)
    assert rig.reloader.last_problems == ("the port is taken",)
    rig.host.refusal = None
    await rig.reload(TWO)
    assert rig.reloader.last_problems == ()
