"""How a file is taken over, by a host whose every step the test decides."""

import asyncio
import hashlib
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from mlxd.config.fields import Reload
from mlxd.config.loader import load_config
from mlxd.control.planner import Action, Room
from mlxd.control.reload import Reloader, Result, Trigger
from mlxd.errors import ListenError, ShuttingDownError

PATIENCE = 30.0  # seconds; only a failing test waits so long

ONE = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'
QUEUE = ONE + "[models.tiny.batching]\nmax_queue = {}\n"
TWO = ONE + '[models.other]\nsource = "org/other"\n'
SYNTAX = "[models.tiny\n"


class Host:
    """``steps`` has what it was told. ``may_prepare`` and ``may_settle`` hold it up; ``refusal`` and ``failed`` make it fail."""

    def __init__(self, running):
        self.running = running
        self.steps = []
        self.under_way = False
        self.refusal = None
        self.failed = {}
        self.preparing = asyncio.Event()
        self.may_prepare = asyncio.Event()
        self.may_prepare.set()
        self.settling = asyncio.Event()
        self.may_settle = asyncio.Event()
        self.may_settle.set()

    def room(self):
        return Room(limit=1000, reserved={"tiny": 1})

    async def prepare(self, new, plan):
        self.steps.append("prepare")
        self.preparing.set()
        await self.may_prepare.wait()
        if self.refusal is not None:
            raise self.refusal
        return new, plan

    def commit(self, new, prepared):
        assert prepared[0] is new
        assert self.under_way
        self.steps.append("commit")
        self.running = new

    async def wait_settled(self):
        assert not self.under_way  # the service manager hears that the configuration is in force, however long models take
        self.steps.append("settle")
        self.settling.set()
        await self.may_settle.wait()
        return dict(self.failed)

    @contextmanager
    def reloading(self):
        self.under_way = True
        yield
        self.under_way = False


class Rig:
    """A file, the host that runs it, and a reloader."""

    def __init__(self, path):
        self.path = path
        self.save(ONE)
        self.host = Host(load_config(path))
        self.told = []
        self._news = asyncio.Event()
        self.reloader = Reloader(self.host, told=self._tell, under_way=self.host.reloading, environ={})

    def save(self, text):
        self.path.write_text(text)

    def _tell(self, trigger, outcome):
        self.told.append((trigger, outcome.result))
        self._news.set()

    async def reload(self, text=None, **options):
        if text is not None:
            self.save(text)
        async with asyncio.timeout(PATIENCE):
            return await self.reloader.reload(Trigger.API, **options)

    async def until_told(self, count):
        async with asyncio.timeout(PATIENCE):
            while len(self.told) < count:
                self._news.clear()
                await self._news.wait()

    async def hold_prepare(self, text):
        """A reload of ``text`` that has begun, and stands still."""
        self.host.may_prepare.clear()
        self.save(text)
        begun = asyncio.create_task(self.reload())
        await asyncio.wait_for(self.host.preparing.wait(), PATIENCE)
        return begun

    async def hold_settle(self, text):
        """A reload of ``text`` that is taken over, and whose models are on their way."""
        self.host.may_settle.clear()
        self.host.settling.clear()
        self.save(text)
        begun = asyncio.create_task(self.reload())
        await asyncio.wait_for(self.host.settling.wait(), PATIENCE)
        return begun

    @property
    def sources(self):
        return {name: model.source for name, model in self.host.running.config.models.items()}

    @property
    def max_queue(self):
        return self.host.running.config.models["tiny"].batching.max_queue


@pytest.fixture
async def rig(tmp_path):
    return Rig(tmp_path / "mlxd.toml")


@pytest.fixture
async def settled(rig):
    """The models of the first file have been what they are to be."""
    await rig.reload()
    rig.host.steps.clear()
    rig.told.clear()
    rig.host.settling.clear()
    return rig


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


# ---- what the caller thought ----


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
    outcome = await settled.reloader.look(if_match=before.sha256)
    assert (outcome.result, [model.name for model in outcome.plan.models]) == (Result.PLANNED, ["other"])
    assert (await settled.reloader.look(if_match="5e" * 32)).result is Result.STALE
    settled.save(SYNTAX)
    assert (await settled.reloader.look()).result is Result.INVALID
    settled.save(ONE)
    assert (await settled.reloader.look()).result is Result.UNCHANGED
    assert (settled.host.steps, settled.told, settled.reloader.last_problems) == ([], [], ())
    assert settled.host.running is before


async def test_a_text_is_compared_with_what_runs_whatever_the_file_says(settled):
    settled.save(SYNTAX)
    assert (await settled.reloader.compare(TWO)).result is Result.PLANNED
    assert (await settled.reloader.compare(ONE)).result is Result.UNCHANGED
    assert (await settled.reloader.compare(SYNTAX)).result is Result.INVALID
    assert settled.host.steps == []


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


# ---- models that cannot follow ----


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
