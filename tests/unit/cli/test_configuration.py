"""reload and diff: what is printed, and how they end."""

import asyncio
import json
from pathlib import Path

import pytest

from mlxd.config.address import parse_address
from mlxd.config.certificates import CertificateFacts, CertificateFiles, CertificateState
from mlxd.config.diff import Change
from mlxd.config.fields import Reload
from mlxd.control.planner import Action, ListenerPlan, ModelPlan, Plan
from mlxd.control.reload import Outcome, Result
from mlxd.errors import DaemonUnreachableError
from mlxd.terminal.admin_client import AdminClient
from mlxd.types import ModelState
from tests.support.statuses import SHA256, model_status

PLAN = Plan(
    models=(
        ModelPlan(
            "tiny",
            Action.REPLACE,
            (
                Change(("models", "tiny", "batching", "mode"), "simple", "continuous", Reload.MODEL, 12),
                Change(("models", "tiny", "context_length"), None, 4096, Reload.MODEL, 13),
            ),
        ),
        ModelPlan("org/Name-4bit", Action.LIVE, (Change(("models", "org/Name-4bit", "aliases"), ["a"], [], Reload.LIVE),)),
        ModelPlan("big", Action.DRAIN_AND_REPLACE),
        ModelPlan("new", Action.LOAD),
        ModelPlan("lazy", Action.ADD),
        ModelPlan("old", Action.UNLOAD),
    ),
    listeners=(ListenerPlan("inference", (parse_address("[::1]:8001"),), (parse_address("127.0.0.1:8000"),)),),
    live=(Change(("log", "level"), "info", "debug", Reload.LIVE, 3),),
)
DRAWN = [
    "",
    "~ tiny  replace: a new worker beside the old one, which serves until then",
    '    batching.mode   "simple" -> "continuous"  model  line 12',
    "    context_length  unset -> 4096             model  line 13",
    "",
    "~ org/Name-4bit  live: takes it at once, nothing restarts",
    '    aliases  ["a"] -> []  live',
    "",
    "~ big  drain and replace: drains, then a new worker: no memory for both",
    "",
    "+ new  load: new, loads now",
    "",
    "+ lazy  add: new, loads at its first request",
    "",
    "- old  unload: removed, ends once its requests are done",
    "",
    "listeners",
    "    inference  + [::1]:8001  - 127.0.0.1:8000",
    "",
    "outside models, at once",
    '    log.level  "info" -> "debug"  live  line 3',
]
REFUSED = Plan(refused=(Change(("daemon", "thing"), 1, 2, Reload.DAEMON, 7),))


def outcome(result, plan=PLAN, **fields):
    return Outcome(result=result, sha256=SHA256, plan=plan, **fields)


# ---- reload ----


async def test_applied(mlxd, daemon):
    daemon.reloads.outcome = outcome(Result.APPLIED)
    ran = await mlxd("reload")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == ["applied: this is what runs now (sha256 5e5e5e5e5e5e runs)", *DRAWN]
    assert daemon.reloads.asked == [("reload", "api", None)]


async def test_unchanged(mlxd):
    ran = await mlxd("reload")
    assert (ran.code, ran.lines, ran.err) == (0, ["unchanged: what runs is what the file says (sha256 5e5e5e5e5e5e runs)"], "")


@pytest.mark.parametrize(
    ("result", "code", "line"),
    [
        (Result.INVALID, 78, "invalid: nothing has changed (sha256 5e5e5e5e5e5e runs)"),
        (Result.REFUSED, 1, "refused: nothing has changed (sha256 5e5e5e5e5e5e runs)"),
        (Result.STALE, 1, "stale: nothing has changed (sha256 5e5e5e5e5e5e runs)"),
        (Result.FAILED, 1, "failed: taken over, but a model could not follow (sha256 5e5e5e5e5e5e runs)"),
    ],
)
async def test_what_came_to_nothing(mlxd, daemon, result, code, line):
    daemon.reloads.outcome = outcome(result, Plan(), problems=("mlxd.toml:3: one", "mlxd.toml:4: \x1b[2Jtwo"))
    ran = await mlxd("reload")
    assert (ran.code, ran.lines[0]) == (code, line)
    assert ran.err == "mlxd.toml:3: one\nmlxd.toml:4: \\x1b[2Jtwo\n"


@pytest.mark.parametrize("result", list(Result))
async def test_json_is_the_answer_whatever_it_is(mlxd, daemon, result):
    daemon.reloads.outcome = outcome(result, problems=("why",))
    ran = await mlxd("reload", "--json")
    document = json.loads(ran.out)
    assert (document["result"], document["problems"], ran.err) == (result, ["why"], "")
    assert document["plan"]["models"][0]["changes"][0]["class"] == "model"


async def test_a_dry_run_only_looks(mlxd, daemon):
    daemon.reloads.outcome = outcome(Result.PLANNED)
    ran = await mlxd("reload", "--dry-run", "--if-match", SHA256)
    assert ran.lines == ["planned: a reload would do this (sha256 5e5e5e5e5e5e runs)", *DRAWN]
    assert daemon.reloads.asked == [("look", SHA256)]


async def test_a_certificate_that_is_not_what_its_files_hold_is_no_success(mlxd, daemon):
    files = CertificateFiles("server.tls", Path("/tls.pem"), Path("/tls.key"))
    facts = CertificateFacts(("mlx.example",), 0.0, 4e9, ("", ""), key_is_exposed=False)
    daemon.certificate = CertificateState("inference", files, facts)
    assert (await mlxd("reload")).code == 0
    daemon.certificate = CertificateState("inference", files, facts, problem="server.tls.key: no such file")
    ran = await mlxd("reload")
    assert (ran.code, ran.err.strip()) == (1, "server.tls.key: no such file; the certificate before is served")


async def test_a_reload_that_moves_the_admin_listener_is_done_all_the_same(mlxd, daemon, monkeypatch):
    monkeypatch.setattr(AdminClient, "get", _gone)
    assert (await mlxd("reload", "--json")).code == 0


def _gone(*_, **__):
    raise DaemonUnreachableError("it has moved")


async def test_if_match_is_passed_on(mlxd, daemon):
    await mlxd("reload", "--if-match", SHA256)
    assert daemon.reloads.asked == [("reload", "api", SHA256)]


@pytest.mark.parametrize("text", ["", "5e", "5E" * 32, '5e"\r\nX: y'])
async def test_if_match_must_be_a_digest(mlxd, text):
    ran = await mlxd("reload", "--if-match", text)
    assert ran.code == 64
    assert ran.err.endswith("mlxd reload: argument --if-match: must be the SHA-256 of a file, in 64 hexadecimal digits\n")


async def test_models_that_load_meanwhile_are_shown(mlxd, daemon, monkeypatch):
    looked, done = asyncio.Event(), asyncio.Event()
    listed = daemon.models.statuses

    async def reload(*_args, **_kwargs):
        await done.wait()
        return outcome(Result.APPLIED)

    def statuses():
        looked.set()
        return listed()

    daemon.models.all.append(model_status("new", ModelState.LOADING))
    monkeypatch.setattr(daemon.reloads, "reload", reload)
    monkeypatch.setattr(daemon.models, "statuses", statuses)
    command = asyncio.create_task(mlxd("reload"))
    await looked.wait()
    done.set()
    ran = await command
    assert (ran.code, ran.err) == (0, "new: loading\n")


# ---- diff ----


async def test_diff_with_the_daemon_s_own_file(mlxd, daemon):
    daemon.reloads.outcome = outcome(Result.PLANNED)
    ran = await mlxd("diff")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == ["planned: a reload would do this (sha256 5e5e5e5e5e5e runs)", *DRAWN]
    assert daemon.reloads.asked == [("look", None)]


@pytest.mark.parametrize("arguments", [("new.toml",), ("--config", "new.toml")])
async def test_diff_with_a_file_of_this_machine(mlxd, daemon, tmp_path, arguments):
    (tmp_path / "new.toml").write_text("# größer\n")
    assert (await mlxd("diff", *arguments)).code == 0
    assert daemon.reloads.asked == [("compare", "# größer\n")]


async def test_diff_with_a_file_that_is_not_there(mlxd):
    ran = await mlxd("diff", "new.toml")
    assert (ran.code, ran.out, ran.err) == (78, "", "new.toml: no such file; name the configuration with --config\n")


async def test_diff_that_would_be_refused(mlxd, daemon):
    daemon.reloads.outcome = outcome(Result.REFUSED, REFUSED, problems=("daemon.thing: a change needs a restart of the daemon",))
    ran = await mlxd("diff")
    assert (ran.code, ran.err) == (1, "daemon.thing: a change needs a restart of the daemon\n")
    assert ran.lines == [
        "refused: a reload would change nothing (sha256 5e5e5e5e5e5e runs)",
        "",
        "needs a restart of the daemon",
        "    daemon.thing  1 -> 2  daemon  line 7",
    ]


async def test_diff_of_two_files_needs_no_daemon(run, tmp_path):
    (tmp_path / "old.toml").write_text('[models.a]\nsource = "builtin:smollm2-135m"\n')
    (tmp_path / "new.toml").write_text('[models.a]\nsource = "builtin:smollm2-135m"\nbatching.mode = "continuous"\n')
    ran = await run("diff", "old.toml", "new.toml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[1:] == [
        "",
        "~ a  replace: a new worker beside the old one, which serves until then",
        '    batching.mode  "simple" -> "continuous"  model  line 3',
    ]
    document = json.loads((await run("diff", "--json", "old.toml", "new.toml")).out)
    assert document["plan"]["models"][0]["action"] == "replace"


async def test_diff_of_two_files_one_of_them_wrong(run, tmp_path):
    (tmp_path / "old.toml").write_text('[models.a]\nsource = "builtin:smollm2-135m"\n')
    (tmp_path / "new.toml").write_text("[sever]\n")
    ran = await run("diff", "old.toml", "new.toml")
    assert (ran.code, ran.out) == (78, "")
    assert 'new.toml:1: sever: unknown key; did you mean "server"?' in ran.err


async def test_three_files_are_too_many(run):
    ran = await run("diff", "a", "b", "c")
    assert (ran.code, ran.err) == (64, "mlxd: diff compares two files at most\n")


async def test_an_error_that_is_no_outcome_is_said_as_it_is(mlxd, daemon, monkeypatch):
    async def crash(*_args, **_kwargs):
        raise RuntimeError

    monkeypatch.setattr(daemon.reloads, "dry_run", crash)
    ran = await mlxd("diff")
    assert ran.code == 1
    assert ran.err.startswith("mlxd: internal error")
