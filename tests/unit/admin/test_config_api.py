"""POST /admin/v1/config/validate, /config/diff and /reload. (GET /admin/v1/config: test_admin_api.py.)"""

import io

import pytest

from mlxd.config.address import parse_address
from mlxd.config.diff import Change
from mlxd.config.fields import Reload
from mlxd.control.planner import Action, ListenerPlan, ModelPlan, Plan
from mlxd.control.reload import Outcome, Result
from mlxd.errors import ShuttingDownError
from tests.support.statuses import SHA256
from tests.unit.admin.conftest import TOML, call

TEXT = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'
CODES = {400: "invalid_request", 413: "body_too_large", 415: "unsupported_media_type"}
LARGE = b"x" * (4 * 2**20 + 1)
NEWER = "a1" * 32

SEQUENCES = Change(("models", "tiny", "batching", "max_sequences"), 32, 8, Reload.LIVE, 12)
TOKEN = Change(("admin", "token"), "", "<redacted>", Reload.LIVE)
PLAN = Plan(
    models=(ModelPlan("tiny", Action.LIVE, (SEQUENCES,)), ModelPlan("old", Action.UNLOAD)),
    listeners=(ListenerPlan("inference", (parse_address("127.0.0.1:9000"),), (parse_address("unix:/run/mlxd"),)),),
    live=(TOKEN,),
)
PLAN_DOCUMENT = {
    "models": [
        {
            "model": "tiny",
            "action": "live",
            "changes": [{"key": "models.tiny.batching.max_sequences", "before": 32, "after": 8, "class": "live", "line": 12}],
        },
        {"model": "old", "action": "unload", "changes": []},
    ],
    "listeners": [{"role": "inference", "opened": ["127.0.0.1:9000"], "closed": ["unix:/run/mlxd"]}],
    "live": [{"key": "admin.token", "before": "", "after": "<redacted>", "class": "live", "line": None}],
    "refused": [],
    "caches": [],
}
NO_PLAN = {"models": [], "listeners": [], "live": [], "refused": [], "caches": []}

ENDINGS = {
    Result.APPLIED: (200, None),
    Result.UNCHANGED: (200, None),
    Result.PLANNED: (200, None),
    Result.REFUSED: (409, "reload_refused"),
    Result.STALE: (412, "stale_config"),
    Result.INVALID: (422, "invalid_config"),
    Result.FAILED: (500, "reload_failed"),
}


# ---- validate ----


async def test_a_valid_text(admin):
    valid = await call(admin, "POST", "/admin/v1/config/validate", data=TEXT, headers=TOML)
    assert (valid.status, valid.body) == (200, {"valid": True, "models": ["tiny"]})


async def test_an_invalid_text(admin):
    refused = await call(admin, "POST", "/admin/v1/config/validate", data="# nothing", headers=TOML)
    assert (refused.status, refused.code) == (422, "invalid_config")
    assert refused.body["error"]["message"] == "mlxd.toml:1: models: no model is configured"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", TOML, 400),
        (b" \n", TOML, 400),
        (b"source = '\xff'", TOML, 400),
        (TEXT, {"Content-Type": "application/json"}, 415),
        (TEXT, {"Content-Type": "text/plain"}, 415),
        (TEXT, {"Content-Type": "application/toml; charset=latin-1"}, 415),
        (LARGE, TOML, 413),
    ],
    ids=["empty", "blank", "utf-8", "json", "type", "charset", "large"],
)
async def test_what_is_no_text_is_refused(daemon, admin, body, headers, status):
    for path in ("/admin/v1/config/validate", "/admin/v1/config/diff"):
        data = io.BytesIO(body) if body is LARGE else body  # aiohttp warns of large ones
        refused = await call(admin, "POST", path, data=data, headers=headers)
        assert (refused.status, refused.code) == (status, CODES[status])
    assert daemon.reloads.asked == []


async def test_the_limit_of_a_body_names_no_setting_that_is_another(admin):
    refused = await call(admin, "POST", "/admin/v1/config/validate", data=io.BytesIO(LARGE), headers=TOML)
    assert refused.body["error"]["message"] == "the body exceeds the limit of 4MiB"


async def test_a_text_of_the_largest_size_is_read(daemon, admin):
    text = TEXT + "#" * (4 * 2**20 - len(TEXT))
    assert (await call(admin, "POST", "/admin/v1/config/diff", data=io.BytesIO(text.encode()), headers=TOML)).status == 200
    assert daemon.reloads.asked == [("compare", text)]


# ---- diff ----


async def test_a_diff_compares_the_text_and_changes_nothing(daemon, admin):
    daemon.reloads.outcome = Outcome(result=Result.PLANNED, sha256=SHA256, plan=PLAN)
    planned = await call(admin, "POST", "/admin/v1/config/diff", data=TEXT.encode(), headers=TOML)
    assert daemon.reloads.asked == [("compare", TEXT)]
    assert (planned.status, planned.headers["ETag"]) == (200, f'"{SHA256}"')
    assert planned.body == {"result": "planned", "sha256": SHA256, "plan": PLAN_DOCUMENT, "problems": [], "models": {}, "error": None}


@pytest.mark.parametrize("result", [Result.REFUSED, Result.INVALID])
async def test_a_diff_that_cannot_be_taken_over(daemon, admin, result):
    daemon.reloads.outcome = Outcome(result=result, sha256=SHA256, problems=("mlxd.toml:1: one", "mlxd.toml:2: two"))
    refused = await call(admin, "POST", "/admin/v1/config/diff", data=TEXT, headers=TOML)
    assert (refused.status, refused.body["problems"]) == (ENDINGS[result][0], ["mlxd.toml:1: one", "mlxd.toml:2: two"])


# ---- reload ----


@pytest.mark.parametrize("result", Result)
@pytest.mark.parametrize("query", ["", "?dry_run=1"])
async def test_however_a_reload_ends_the_document_is_the_same(daemon, admin, result, query):
    status, code = ENDINGS[result]
    problems = () if result.is_good else ("tiny: killed by SIGKILL", "and more")
    models = {"tiny": "killed by SIGKILL"} if result is Result.FAILED else {}
    daemon.reloads.outcome = Outcome(result=result, sha256=NEWER, plan=PLAN, problems=problems, models=models)
    ended = await call(admin, "POST", f"/admin/v1/reload{query}")
    assert (ended.status, ended.code, ended.headers["ETag"]) == (status, code, f'"{NEWER}"')
    error = ended.body.pop("error")
    assert ended.body == {"result": result.value, "sha256": NEWER, "plan": PLAN_DOCUMENT, "problems": list(problems), "models": models}
    assert (error is None) is result.is_good
    assert error is None or error["message"] == "tiny: killed by SIGKILL\nand more"


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", ("reload", "api", None)),
        ("?dry_run=0", ("reload", "api", None)),
        ("?dry_run=false", ("reload", "api", None)),
        ("?dry_run=1", ("look", None)),
        ("?dry_run=true", ("look", None)),
    ],
)
async def test_a_dry_run_only_looks(daemon, admin, query, asked):
    unchanged = await call(admin, "POST", f"/admin/v1/reload{query}")
    assert (unchanged.status, unchanged.body["result"], unchanged.body["plan"]) == (200, "unchanged", NO_PLAN)
    assert daemon.reloads.asked == [asked]


@pytest.mark.parametrize("query", ["dryrun=1", "dry-run=1", "dry_run", "dry_run=yes", "dry_run=0&dry_run=1", "dry_run=1&force=1"])
async def test_a_dry_run_that_is_misspelt_is_no_reload(daemon, admin, query):
    refused = await call(admin, "POST", f"/admin/v1/reload?{query}")
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert daemon.reloads.asked == []


@pytest.mark.parametrize(("sent", "if_match"), [(f'"{SHA256}"', SHA256), ("*", None), ('"old"', "old")])
@pytest.mark.parametrize("dry_run", [False, True])
async def test_if_match_is_handed_on(daemon, admin, sent, if_match, dry_run):
    await call(admin, "POST", f"/admin/v1/reload?dry_run={int(dry_run)}", headers={"If-Match": sent})
    assert daemon.reloads.asked == [("look", if_match) if dry_run else ("reload", "api", if_match)]


@pytest.mark.parametrize("sent", [f'W/"{SHA256}"', f'"{SHA256}", "other"', SHA256, "", '"unfinished'])
async def test_an_if_match_that_names_no_one_configuration_reloads_nothing(daemon, admin, sent):
    refused = await call(admin, "POST", "/admin/v1/reload", headers={"If-Match": sent})
    assert (refused.status, refused.code, refused.body["error"]["param"]) == (400, "invalid_request", "If-Match")
    assert daemon.reloads.asked == []


async def test_the_text_of_a_file_is_no_reload(daemon, admin):
    """Nothing but the file configures: a text that is sent would be ignored."""
    refused = await call(admin, "POST", "/admin/v1/reload", data=TEXT, headers=TOML)
    assert (refused.status, refused.body["error"]["message"]) == (400, "this call takes no body")
    assert daemon.reloads.asked == []


async def test_a_daemon_that_stops_reloads_nothing(daemon, admin):
    async def stopped(_trigger, *, if_match=None):
        raise ShuttingDownError("the daemon is stopping", retry_after=5.0)

    daemon.reloads.reload = stopped
    refused = await call(admin, "POST", "/admin/v1/reload")
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "shutting_down", "5")
