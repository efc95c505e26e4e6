"""A listener beyond loopback without a token does not start, and no reload opens one."""

import aiohttp
import pytest

from mlxd.admin.app import build_admin_app, rules_of
from mlxd.config.loader import load_config
from mlxd.control.planner import Room
from mlxd.control.reload import Reloader, Standing
from mlxd.errors import ConfigError
from tests.unit.admin.conftest import TOML, bearer, call

MODEL = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'
ON_LOOPBACK = f'[admin]\nlisten = "127.0.0.1:8001"\n{MODEL}'
GUARDED = f'[admin]\nlisten = "0.0.0.0:8001"\ntoken = "full-token"\n{MODEL}'
OPEN_TO_ALL = {
    "ipv4": f'[admin]\nlisten = "0.0.0.0:8001"\n{MODEL}',
    "ipv6": f'[admin]\nlisten = "[::]:8001"\n{MODEL}',
    "name": f'[admin]\nlisten = "mac.example:8001"\n{MODEL}',
    "one of several": f'[admin]\nlisten = ["127.0.0.1:8001", "192.168.1.2:8001"]\n{MODEL}',
    "read token alone": f'[admin]\nlisten = "0.0.0.0:8001"\nread_token = "look"\n{MODEL}',
    "empty token": f'[admin]\nlisten = "0.0.0.0:8001"\ntoken = ""\n{MODEL}',
    "unset variable": f'[admin]\nlisten = "0.0.0.0:8001"\ntoken = "env:MLXD_NOT_SET"\n{MODEL}',
    "metrics": f'[admin]\nlisten = "127.0.0.1:8001"\n[metrics]\nlisten = "0.0.0.0:9090"\n{MODEL}',
}


class Host:
    """Takes over whatever is valid, and remembers it."""

    def __init__(self, running):
        self.running = running
        self.prepared = []

    def room(self):
        return Room(0, {})

    async def prepare(self, new, plan):
        self.prepared.append(plan)

    def commit(self, new, _prepared):
        self.running = new

    async def wait_settled(self, models):
        return {}

    def standing(self, model):
        return Standing()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mlxd.toml"


@pytest.fixture
async def reloading(file, daemon, serve):
    """A client of a daemon that runs ``ON_LOOPBACK``, and its host."""
    file.write_text(ON_LOOPBACK)
    host = Host(load_config(file, {}))
    daemon.reloads = Reloader(host, told=lambda _trigger, _outcome: None, environ={})
    url = await serve(build_admin_app(daemon.sources, lambda: rules_of(host.running.config.admin)))
    async with aiohttp.ClientSession(url) as session:
        yield session, host


@pytest.mark.parametrize("text", OPEN_TO_ALL.values(), ids=OPEN_TO_ALL)
def test_it_does_not_start(file, text):
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"admin\.token"):
        load_config(file, {})


@pytest.mark.parametrize("text", OPEN_TO_ALL.values(), ids=OPEN_TO_ALL)
async def test_no_reload_opens_one(file, reloading, text):
    session, host = reloading
    file.write_text(text)
    refused = await call(session, "POST", "/admin/v1/reload")
    assert (refused.status, refused.code, refused.body["result"]) == (422, "invalid_config", "invalid")
    assert any("admin.token" in problem for problem in refused.body["problems"])
    assert host.prepared == []
    assert [str(address) for address in host.running.config.admin.listen] == ["127.0.0.1:8001"]
    assert (await call(session, "POST", "/admin/v1/reload?dry_run=1")).status == 422
    compared = await call(session, "POST", "/admin/v1/config/diff", data=text, headers=TOML)
    assert compared.status == (200 if "env:" in text else 422)  # whether a variable is set here is not told to who sends a text
    assert len(host.prepared) == 0


async def test_with_a_token_it_opens_and_the_token_is_asked_for_from_then_on(file, reloading):
    session, host = reloading
    file.write_text(GUARDED)
    done = await call(session, "POST", "/admin/v1/reload")
    assert (done.status, done.body["result"]) == (200, "applied")
    assert done.body["plan"]["listeners"] == [{"role": "admin", "opened": ["0.0.0.0:8001"], "closed": ["127.0.0.1:8001"]}]
    assert len(host.prepared) == 1
    assert (await call(session, "GET", "/admin/v1/status")).status == 401
    assert (await call(session, "GET", "/admin/v1/status", headers=bearer("full-token"))).status == 200


async def test_the_token_is_not_taken_away_from_one_that_is_open(file, reloading):
    session, host = reloading
    file.write_text(GUARDED)
    await call(session, "POST", "/admin/v1/reload")
    file.write_text(OPEN_TO_ALL["ipv4"])
    refused = await call(session, "POST", "/admin/v1/reload", headers=bearer("full-token"))
    assert (refused.status, refused.body["result"]) == (422, "invalid")
    assert host.running.config.admin.token == "full-token"
    assert (await call(session, "GET", "/admin/v1/status")).status == 401


async def test_no_answer_has_a_secret(file, reloading):
    session, _ = reloading
    planned = await call(session, "POST", "/admin/v1/config/diff", data=GUARDED, headers=TOML)
    assert planned.body["plan"]["live"] == [{"key": "admin.token", "before": "", "after": "<redacted>", "class": "live", "line": 3}]
    assert "full-token" not in str(planned.body)
