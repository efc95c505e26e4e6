"""Every change is told: who, what, result. What only reads is not."""

import asyncio
import os

import aiohttp
import pytest
import structlog

from mlxd.admin.app import build_admin_app, rules_of
from mlxd.config.adapter_table import AdapterTable
from mlxd.config.address import parse_address
from mlxd.control.reload import Outcome, Result
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE
from tests.support.statuses import SHA256, running_status
from tests.unit.admin.conftest import OPEN, TOML, bearer, call

TEXT = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'


@pytest.fixture
def audit():
    """What was told."""
    with structlog.testing.capture_logs() as logs:
        yield Events(logs)


@pytest.fixture(autouse=True)
def _adapter(daemon):
    daemon.models.all[0] = running_status("tiny", aliases=("default",), adapters={"sql": AdapterTable(source="org/sql")})


class Events:
    def __init__(self, logs):
        self._logs = logs

    def all(self):
        return [{**line} for line in self._logs if line["event"] == "audit"]

    @property
    def one(self):
        """The only one, without what is the same in all."""
        (event,) = self.all()
        assert (event.pop("event"), event.pop("log_level"), event.pop("peer")) == ("audit", "info", "127.0.0.1")
        return event


@pytest.mark.parametrize(
    ("method", "path", "event"),
    [
        ("POST", "models/tiny/load", {"action": "POST /admin/v1/models/{id}/load", "on_id": "tiny", "status": 202}),
        ("POST", "models/default/drain?wait=1", {"action": "POST /admin/v1/models/{id}/drain", "on_id": "default", "on_wait": "1"}),
        (
            *("POST", "models/tiny/adapters/sql/load?wait=1"),
            {"action": "POST /admin/v1/models/{id}/adapters/{adapter}/load", "on_id": "tiny", "on_adapter": "sql", "on_wait": "1"},
        ),
        ("POST", "models/tiny/evict", {"action": "POST /admin/v1/models/{id}/evict", "on_id": "tiny"}),
        ("POST", "evict", {"action": "POST /admin/v1/evict"}),
        ("POST", "reload", {"action": "POST /admin/v1/reload"}),
        ("POST", "reload?dry_run=1", {"action": "POST /admin/v1/reload", "on_dry_run": "1"}),
    ],
)
async def test_a_change_is_told(guarded, audit, method, path, event):
    assert (await call(guarded, method, f"/admin/v1/{path}", headers=bearer("full-token"))).status < 300
    assert audit.one == {"role": "full", "status": 200} | event


async def test_the_log_level_is_told(guarded, audit):
    await call(guarded, "PUT", "/admin/v1/log-level", json={"level": "debug"}, headers=bearer("full-token"))
    assert audit.one == {"action": "PUT /admin/v1/log-level", "role": "full", "status": 200}


async def test_without_tokens_everybody_is_told_as_such(admin, audit):
    await call(admin, "POST", "/admin/v1/evict")
    assert audit.one == {"action": "POST /admin/v1/evict", "role": "open", "status": 200}


async def test_a_failure_is_told_with_its_code(daemon, admin, audit):
    await call(admin, "POST", "/admin/v1/models/nobody/load")
    assert audit.one == {
        "action": "POST /admin/v1/models/{id}/load",
        "on_id": "nobody",
        "role": "open",
        "status": 404,
        "error": "model_not_found",
    }


async def test_a_reload_that_failed_is_told(daemon, admin, audit):
    daemon.reloads.outcome = Outcome(result=Result.INVALID, sha256=SHA256, problems=("mlxd.toml:1: wrong",))
    await call(admin, "POST", "/admin/v1/reload")
    assert audit.one == {"action": "POST /admin/v1/reload", "role": "open", "status": 422}


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, {"role": "none", "status": 401, "error": "invalid_api_key"}),
        (bearer("wrong"), {"role": "none", "status": 401, "error": "invalid_api_key"}),
        (bearer("read-token"), {"role": "none", "status": 403, "error": "forbidden"}),
        ({"Origin": "https://evil.example"}, {"role": "none", "status": 403, "error": "forbidden"}),
    ],
)
async def test_who_was_refused_is_told(guarded, audit, headers, told):
    await call(guarded, "POST", "/admin/v1/reload", headers=headers)
    assert audit.one == {"action": "POST /admin/v1/reload"} | told


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/admin/v1/nothing", 404), ("DELETE", "/admin/v1/models/tiny", 405)])
async def test_what_no_route_answers_is_told(admin, audit, method, path, status):
    await call(admin, method, path)
    assert (audit.one["action"], audit.one["status"]) == (f"{method} unknown", status)


async def test_a_defect_is_told(daemon, admin, audit):
    daemon.models.restart = lambda _name: 1 / 0
    await call(admin, "POST", "/admin/v1/models/tiny/restart")
    assert (audit.one["status"], audit.one["error"]) == (500, "internal_error")


async def test_who_does_not_wait_is_told_all_the_same(daemon, guarded, monkeypatch):
    told = asyncio.Queue()
    monkeypatch.setattr("mlxd.admin.audit._log.info", lambda event, **fields: told.put_nowait(fields), raising=False)
    daemon.models.may_settle.clear()
    answer = asyncio.create_task(call(guarded, "POST", "/admin/v1/models/tiny/restart?wait=1", headers=bearer("full-token")))
    await asyncio.wait_for(daemon.models.settling.wait(), PATIENCE)
    answer.cancel()
    event = await asyncio.wait_for(told.get(), PATIENCE)
    assert (event["action"], event["role"], event["peer"]) == ("POST /admin/v1/models/{id}/restart", "full", "127.0.0.1")
    assert (event["status"], event["error"]) == (499, "client_left")


async def test_reading_is_not_told(daemon, admin, audit):
    paths = ["status", "models", "models/tiny", "models/tiny/requests", "operations", "memory", "config", "openapi.json", "models/nobody"]
    for path in paths:
        await call(admin, "GET", f"/admin/v1/{path}")
    async with admin.head("/admin/v1/status") as response:
        assert response.status == 200
    for path in ("config/validate", "config/diff"):
        assert (await call(admin, "POST", f"/admin/v1/{path}", data=TEXT, headers=TOML)).status == 200
    assert audit.all() == []


async def test_neither_tokens_nor_what_was_not_asked_for_is_told(guarded, audit):
    long = "x" * 1000
    await call(guarded, "POST", f"/admin/v1/models/{long}/load?token=full-token", headers=bearer("full-token"))
    assert audit.one["on_id"] == "x" * 127 + "…"
    assert "full-token" not in str(audit.all())


async def test_over_a_unix_socket_the_user_is_told(daemon, tmp_path, audit):
    path = tmp_path / "admin.sock"
    listener = Listener(build_admin_app(daemon.sources, lambda: rules_of(OPEN)), [parse_address(f"unix:{path}")])
    await listener.start()
    try:
        async with aiohttp.ClientSession("http://mlxd", connector=aiohttp.UnixConnector(str(path))) as session:
            await call(session, "POST", "/admin/v1/evict")
    finally:
        await listener.stop()
    assert audit.all()[0]["peer"] == f"uid {os.getuid()}"
