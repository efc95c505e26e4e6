"""POST …/models/{id}/load, unload, drain, restart, and GET /admin/v1/operations."""

import asyncio

import pytest
import structlog

from mlxd.errors import MlxdError
from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.statuses import model_status
from tests.unit.admin.conftest import call

VERBS = {"load": "load", "unload": "unload", "drain": "hold", "restart": "restart"}


async def running(daemon):
    """The operation, once it runs."""
    await asyncio.wait_for(daemon.models.settling.wait(), PATIENCE)
    return daemon.operations.all()[0]


@pytest.mark.parametrize(("verb", "asked"), VERBS.items())
async def test_an_operation_is_begun_and_its_place_named(daemon, admin, verb, asked):
    daemon.models.may_settle.clear()
    begun = await call(admin, "POST", f"/admin/v1/models/tiny/{verb}")
    assert (begun.status, begun.headers["Location"]) == (202, "/admin/v1/operations/op-1")
    assert daemon.models.asked == [(asked, "tiny")]
    assert begun.body.pop("started").endswith("Z")
    assert begun.body == {"id": "op-1", "kind": verb, "model": "tiny", "adapter": None, "state": "running", "error": None, "finished": None}

    daemon.models.may_settle.set()
    await daemon.operations.get("op-1").wait()
    over = await call(admin, "GET", begun.headers["Location"])
    assert (over.status, over.body["state"], over.body["error"]) == (200, "succeeded", None)
    assert over.body["started"] <= over.body["finished"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("wait", ["1", "true"])
async def test_wait_answers_when_it_is_over(daemon, admin, verb, wait):
    daemon.models.may_settle.clear()
    answer = asyncio.create_task(call(admin, "POST", f"/admin/v1/models/tiny/{verb}?wait={wait}"))
    operation = await running(daemon)
    assert not answer.done()
    daemon.models.may_settle.set()
    assert ((await answer).status, (await answer).body["state"]) == (200, "succeeded")
    assert "Location" not in (await answer).headers
    assert operation.finished is not None


@pytest.mark.parametrize("wait", ["0", "false"])
async def test_wait_may_be_declined(daemon, admin, wait):
    daemon.models.may_settle.clear()
    assert (await call(admin, "POST", f"/admin/v1/models/tiny/load?wait={wait}")).status == 202


@pytest.mark.parametrize("query", ["wait=yes", "wait=", "wait=1&wait=0", "wait=01", "wiat=1", "wait=1&dry_run=1"])
async def test_a_query_that_is_not_understood_does_nothing(daemon, admin, query):
    refused = await call(admin, "POST", f"/admin/v1/models/tiny/restart?{query}")
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert refused.body["error"]["param"] in query
    assert daemon.models.asked == []
    assert daemon.operations.all() == []


async def test_a_failure_is_kept(daemon, admin):
    daemon.models.differs = "killed by SIGKILL, 5 times"
    begun = await call(admin, "POST", "/admin/v1/models/tiny/load")
    await daemon.operations.get("op-1").wait()
    failed = await call(admin, "GET", begun.headers["Location"])
    assert (failed.status, failed.body["state"]) == (200, "failed")
    assert failed.body["error"] == {
        "message": 'the model "tiny": killed by SIGKILL, 5 times',
        "type": "service_unavailable_error",
        "param": None,
        "code": "model_failed",
    }


async def test_who_waits_is_answered_with_the_failure(daemon, admin):
    daemon.models.differs = "killed by SIGKILL, 5 times"
    failed = await call(admin, "POST", "/admin/v1/models/tiny/load?wait=1")
    assert (failed.status, failed.code) == (503, "model_failed")
    assert "SIGKILL" in failed.body["error"]["message"]


async def test_a_defect_fails_the_operation_and_is_no_silent_success(daemon, admin):
    async def crash(_name):
        raise ZeroDivisionError("secret")

    daemon.models.wait_model_settled = crash
    with structlog.testing.capture_logs() as logs:
        failed = await call(admin, "POST", "/admin/v1/models/tiny/load?wait=1")
    assert "operation_crashed" in [line["event"] for line in logs]
    assert (failed.status, failed.code) == (500, MlxdError.code)
    assert "secret" not in failed.body["error"]["message"]


async def test_a_model_that_is_removed_meanwhile_fails_it(daemon, admin):
    daemon.models.load = lambda name: daemon.models.all.clear()
    daemon.models.wait_model_settled = lambda name: _raise_unknown(daemon, name)
    failed = await call(admin, "POST", "/admin/v1/models/tiny/load?wait=1")
    assert (failed.status, failed.code) == (404, "model_not_found")


async def _raise_unknown(daemon, name):
    daemon.models.identify(name)


async def test_a_daemon_that_stops_does_not_say_it_is_done(daemon, admin):
    daemon.models.may_settle.clear()
    answer = asyncio.create_task(call(admin, "POST", "/admin/v1/models/tiny/load?wait=1"))
    await running(daemon)
    daemon.operations.stop()
    assert ((await answer).status, (await answer).code) == (503, "shutting_down")


async def test_a_client_that_leaves_stops_nothing(daemon, admin):
    daemon.models.may_settle.clear()
    answer = asyncio.create_task(call(admin, "POST", "/admin/v1/models/tiny/load?wait=1"))
    operation = await running(daemon)
    answer.cancel()
    await asyncio.wait({answer})
    daemon.models.may_settle.set()
    await operation.wait()
    assert operation.state == "succeeded"


@pytest.mark.parametrize("path", ["default", "org/Name-4bit", "org%2FName-4bit"])
async def test_models_are_named_by_id_or_alias(daemon, admin, path):
    begun = await call(admin, "POST", f"/admin/v1/models/{path}/load")
    assert (begun.status, daemon.models.asked) == (202, [("load", begun.body["model"])])
    assert begun.body["model"] in ("tiny", "org/Name-4bit")


@pytest.mark.parametrize("verb", [*VERBS, "evict"])
async def test_an_unknown_model(daemon, admin, verb):
    for path in (f"nobody/{verb}", f"tiny/{verb}/{verb}", f"tiny%2F{verb}/{verb}"):
        refused = await call(admin, "POST", f"/admin/v1/models/{path}")
        assert (refused.status, refused.code, refused.body["error"]["param"]) == (404, "model_not_found", "model")
    assert daemon.models.asked == []


async def test_the_list_has_the_newest_first(daemon, admin):
    for verb in VERBS:
        await call(admin, "POST", f"/admin/v1/models/tiny/{verb}?wait=1")
    listed = await call(admin, "GET", "/admin/v1/operations")
    assert [one["id"] for one in listed.body["operations"]] == ["op-4", "op-3", "op-2", "op-1"]
    assert listed.body["operations"][0] == (await call(admin, "GET", "/admin/v1/operations/op-4")).body


async def test_an_unknown_operation(admin):
    missing = await call(admin, "GET", "/admin/v1/operations/op-9")
    assert (missing.status, missing.code) == (404, "not_found")
    assert "op-9" in missing.body["error"]["message"]


@pytest.mark.parametrize("body", [b'{"wait": false}', b'{"wait": true}'])
async def test_a_body_is_not_ignored(daemon, admin, body):
    refused = await call(admin, "POST", "/admin/v1/models/tiny/load", data=body, headers={"Content-Type": "application/json"})
    assert (refused.status, refused.body["error"]["message"]) == (400, "this call takes no body")
    assert daemon.models.asked == []


async def test_one_that_is_loading_may_be_waited_for_too(daemon, admin):
    daemon.models.all = [model_status("tiny", ModelState.LOADING)]
    assert (await call(admin, "POST", "/admin/v1/models/tiny/load?wait=1")).status == 200
