"""/livez and /readyz."""

import dataclasses

import aiohttp
import pytest

from mlxd.admin.app import build_admin_app
from mlxd.listener.security import SecurityRules
from mlxd.types import ModelState
from tests.support.statuses import FakeDaemon, model_status


async def probe(session, path):
    async with session.get(path) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json()


async def test_livez_says_200_whatever_the_models_do(daemon, admin):
    daemon.models.all = [model_status(state=ModelState.FAILED)]
    daemon.draining = True
    assert await probe(admin, "/livez") == (200, {"live": True})


async def test_ready_when_all_models_are(admin):
    status, body = await probe(admin, "/readyz")
    assert status == 200
    assert body == {
        "ready": True,
        "draining": False,
        "states": {"ready": 3},
        "models": {"tiny": "ready", "org/Name-4bit": "ready", "other": "ready"},
    }


@pytest.mark.parametrize("state", [state for state in ModelState if state is not ModelState.READY])
async def test_not_ready_while_one_model_is_not(daemon, admin, state):
    daemon.models.all = [model_status("one"), model_status("two", state)]
    status, body = await probe(admin, "/readyz")
    assert status == 503
    assert body == {"ready": False, "draining": False, "states": {"ready": 1, state: 1}, "models": {"one": "ready", "two": state}}


async def test_not_ready_while_draining(daemon, admin):
    daemon.draining = True
    status, body = await probe(admin, "/readyz?verbose")
    assert (status, body["ready"], body["draining"]) == (503, False, True)


async def test_lazy_models_are_not_waited_for(daemon, admin):
    status = model_status("lazy", ModelState.STOPPED)
    lifecycle = status.config.lifecycle.model_copy(update={"load": "lazy"})
    daemon.models.all = [dataclasses.replace(status, config=status.config.model_copy(update={"lifecycle": lifecycle}))]
    assert (await probe(admin, "/readyz"))[0] == 200


async def test_a_daemon_without_models_is_ready(daemon, admin):
    daemon.models.all = []
    assert (await probe(admin, "/readyz"))[0] == 200


async def test_probes_need_no_token_and_then_name_no_model(serve):
    daemon = FakeDaemon(model_status("secret-project", ModelState.LOADING))
    url = await serve(build_admin_app(daemon.sources, lambda: SecurityRules(tokens=("full-token",))))
    async with aiohttp.ClientSession(url) as session:
        assert await probe(session, "/livez") == (200, {"live": True})
        assert await probe(session, "/readyz") == (503, {"ready": False, "draining": False, "states": {"loading": 1}})
