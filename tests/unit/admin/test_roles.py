"""Who may call what: each route of the table, without a token, with another, with the one that reads, with the full one."""

from dataclasses import replace

import pytest
from aiohttp import hdrs

from mlxd.admin.routes import ROUTES
from mlxd.config.schema import ModelTable
from mlxd.observability.metrics import Metrics
from tests.unit.admin.conftest import bearer, call

OPEN = [route for route in ROUTES if route.is_open]
READING = [route for route in ROUTES if route.reads and not route.is_open]
CHANGING = [route for route in ROUTES if not route.reads]
NAMING_WHAT_IS_NOT_THERE = ("showOperation", "cancelRequest")

BODIES = {
    "application/toml": b'[models.tiny]\nsource = "builtin:smollm2-135m"\n',
    "application/json": b'{"level": "debug"}',
}


def by_name(routes):
    return pytest.mark.parametrize("route", routes, ids=lambda route: route.name)


def path_of(route):
    return (
        route.path.replace("{id:.+}", "tiny").replace("{adapter}", "sql").replace("{operation}", "op-1").replace("{request}", "chatcmpl-1")
    )


async def ask(session, route, headers=()):
    headers = dict(headers) | ({hdrs.CONTENT_TYPE: route.content_type} if route.content_type else {})
    return await call(session, route.method, path_of(route), headers=headers, data=BODIES.get(route.content_type))


@pytest.fixture(autouse=True)
def _metrics(daemon):
    metrics = Metrics(daemon.models.statuses, daemon.ledger)
    daemon.registry, daemon.vllm_registry = metrics.registry, metrics.vllm.registry


@pytest.fixture(autouse=True)
def _disk(daemon, tmp_path):
    """The first model keeps blocks on disk, so that there is something to remove, and has an adapter."""
    disk = {"path": str(tmp_path / "cache")}
    table = {"source": "org/tiny", "aliases": ["default"], "batching": {"mode": "continuous"}, "cache": {"disk": disk}}
    table = ModelTable.model_validate(table | {"adapters": {"sql": {"source": "org/sql"}}})
    daemon.models.all[0] = replace(daemon.models.all[0], config=table)


def untouched(daemon):
    asked = (daemon.models.asked, daemon.reloads.asked, daemon.disks.asked, daemon.operations.all())
    return (daemon.log_level, asked) == ("info", ([], [], [], []))


def test_what_is_open_and_what_reads_is_as_it_should_be():
    assert {route.path for route in OPEN} == {"/livez", "/readyz"}
    assert {route.name for route in READING if route.method != "GET"} == {"validateConfig", "diffConfig"}
    assert all(route.method != "GET" for route in CHANGING)


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer ", "Bearer full-toke", "Bearer", "full-token", "Basic full-token"])
async def test_without_a_token_of_ours_nothing_is_shown_or_done(daemon, guarded, authorization):
    for route in (*READING, *CHANGING):
        refused = await ask(guarded, route, {} if authorization is None else {hdrs.AUTHORIZATION: authorization})
        assert (refused.status, refused.code) == (401, "invalid_api_key"), route.name
        assert refused.body["error"]["type"] == "authentication_error", route.name
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="mlxd"', route.name
        assert untouched(daemon), route.name


async def test_the_read_token_changes_nothing(daemon, guarded):
    for route in CHANGING:
        refused = await ask(guarded, route, bearer("read-token"))
        assert (refused.status, refused.code) == (403, "forbidden"), route.name
        assert refused.body["error"]["type"] == "permission_error", route.name
        assert "use the full token" in refused.body["error"]["message"], route.name
        assert untouched(daemon), route.name


@pytest.mark.parametrize("token", ["read-token", "full-token"])
async def test_both_tokens_read(guarded, token):
    for route in READING:
        status = (await ask(guarded, route, bearer(token))).status
        assert status == (404 if route.name in NAMING_WHAT_IS_NOT_THERE else 200), route.name


@by_name([route for route in CHANGING if route.name not in NAMING_WHAT_IS_NOT_THERE])
async def test_the_full_token_changes(daemon, guarded, route):
    assert (await ask(guarded, route, bearer("full-token"))).status in (200, 202)
    assert not untouched(daemon)


@by_name(OPEN)
@pytest.mark.parametrize("headers", [{}, bearer("wrong")], ids=["none", "wrong"])
async def test_probes_are_open_for_reading_alone(guarded, route, headers):
    assert (await ask(guarded, route, headers)).status == 200
    assert (await call(guarded, "POST", path_of(route), headers=headers)).status == 401


@by_name(ROUTES)
async def test_where_no_token_is_configured_none_is_asked_for(admin, route):
    assert (await ask(admin, route)).status in ((404,) if route.name in NAMING_WHAT_IS_NOT_THERE else (200, 202))


@pytest.mark.parametrize("path", ["/admin/v1/config/validate/", "/admin/v1/config/validat", "/admin/v1/config/diff/load"])
async def test_a_path_that_only_looks_like_one_that_reads_is_none(guarded, path):
    assert (await call(guarded, "POST", path, headers=bearer("read-token"))).status == 403
