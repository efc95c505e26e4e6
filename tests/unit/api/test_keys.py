"""Keys with names on a real socket: who is let in, to which models, and how its requests differ."""

import pytest
from structlog.testing import capture_logs

from mlxd.config.key_table import KeyTable
from mlxd.wire.jobs import Generate
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

AGENTS, PEOPLE, SHORT = "key-of-agents", "key-of-people", "a-short-one"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keyed(server):
    """The server with two keys with names and one without; agents may ask for tiny only."""
    server.registry.add("other", aliases=["default"])
    for model in server.registry.models.values():
        model.client.script = echo
    keys = (KeyTable(name="agents", key=AGENTS, models=("sm*",), priority=3), KeyTable(name="people", key=PEOPLE, cache_salt="own"))
    server.set_server(api_keys=(SHORT,), keys=keys)
    return server


async def ask(server, key, **fields):
    """Its status, and the job that became of it, if one did."""
    status, body, _ = await server.answer(HELLO | fields, headers=bearer(key) if isinstance(key, str) else key)
    jobs = [made.generate for model in server.registry.models.values() for made in model.client.submitted]
    return status, (jobs[-1] if status == 200 else body["error"])


@pytest.mark.parametrize(
    "headers",
    [
        bearer(AGENTS),
        {"x-api-key": AGENTS},
        bearer(AGENTS) | {"x-api-key": "of somebody else's service"},
        {"Authorization": "Bearer of-another-service", "x-api-key": AGENTS},
        {"Authorization": "Basic eDp5", "x-api-key": AGENTS},
        {"Authorization": "Bearer", "x-api-key": f" {AGENTS} "},
    ],
)
async def test_a_key_is_shown_in_either_header_and_one_that_fits_will_do(keyed, headers):
    assert (await ask(keyed, headers))[0] == 200
    assert keyed.telemetry.records[-1].caller.key == "agents"


async def test_of_two_keys_that_fit_authorization_says_who_asks(keyed):
    await ask(keyed, bearer(PEOPLE) | {"x-api-key": AGENTS})
    assert keyed.telemetry.records[-1].caller.key == "people"


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"x-api-key": "wrong"}, {"x-api-key": ""}, bearer(AGENTS[:-1]), bearer("agents")])
async def test_whoever_shows_none_is_refused(keyed, headers):
    status, error = await ask(keyed, headers)
    assert (status, error["code"], error["type"]) == (401, "invalid_api_key", "authentication_error")


@pytest.mark.parametrize(("key", "name"), [(AGENTS, "agents"), (PEOPLE, "people"), (SHORT, "api_keys")])
async def test_the_log_and_the_live_requests_say_who_asks_by_name(keyed, key, name):
    keyed.worker.script = lambda request: request.started()
    with capture_logs() as logs:
        async with keyed.post(HELLO | {"stream": True}, headers=bearer(key)) as response:
            request = await keyed.worker.next_request()
            assert [live.key for live in keyed.requests.of("tiny")] == [name]
            request.finish()
            await response.read()
    assert key not in repr(logs)


async def test_where_there_are_no_keys_anonymous_asks(server):
    server.worker.script = echo
    assert (await ask(server, {}))[0] == 200
    assert server.telemetry.records[-1].caller.key == "anonymous"


# ---- models ----


async def test_what_a_key_may_not_ask_for_is_refused_and_not_listed(keyed):
    status, error = await ask(keyed, AGENTS, model="default")
    assert (status, error["code"], error["type"], error["param"]) == (403, "model_not_allowed", "permission_error", "model")
    assert error["message"] == 'this key may not ask for the model "default"; there are: tiny'
    async with keyed.session.get(f"{keyed.url}/v1/models", headers=bearer(AGENTS)) as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["tiny", "small"]
    async with keyed.session.get(f"{keyed.url}/v1/models", headers=bearer(PEOPLE)) as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["tiny", "small", "other", "default"]


@pytest.mark.parametrize(
    ("items", "listed"),
    [(("small",), ["tiny"]), (("default",), ["other"]), (("*",), ["tiny", "other"]), (("t*", "o*r"), ["tiny", "other"]), (("gone",), [])],
)
async def test_models_are_named_by_id_alias_or_pattern(keyed, items, listed):
    keyed.set_server(keys=(KeyTable(name="agents", key=AGENTS, models=items),))
    async with keyed.session.get(f"{keyed.url}/v1/models", headers=bearer(AGENTS)) as response:
        assert list(dict.fromkeys(model["root"] for model in (await response.json())["data"])) == listed


async def test_a_model_there_is_not_names_only_what_the_key_may_see(keyed):
    status, error = await ask(keyed, AGENTS, model="nothing")
    assert (status, error["code"]) == (404, "model_not_found")
    assert error["message"].endswith("there are: tiny")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/models/other", None),
        ("GET", "/tokenizer_info?model=other", None),
        ("POST", "/tokenize", {"model": "other", "prompt": "x"}),
        ("POST", "/detokenize", {"model": "default", "tokens": [1]}),
        ("POST", "/v1/completions", {"model": "other", "prompt": "x"}),
    ],
)
async def test_no_call_reaches_a_model_that_the_key_may_not_ask_for(keyed, method, path, body):
    async with keyed.session.request(method, keyed.url + path, json=body, headers=bearer(AGENTS)) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (403, "model_not_allowed")
    assert keyed.registry.models["other"].client.submitted == keyed.registry.models["other"].client.tokenized == []


async def test_the_only_model_a_key_may_see_need_not_be_named(keyed):
    async with keyed.post({"content": "ab"}, "/tokenize", headers=bearer(AGENTS)) as response:
        assert (response.status, (await response.json())["count"]) == (200, 2)


# ---- priority and cache ----


@pytest.mark.parametrize(("asked", "given"), [({}, 3), ({"priority": -7}, 3), ({"priority": 3}, 3), ({"priority": 9}, 9)])
async def test_no_request_has_a_better_priority_than_its_key(keyed, asked, given):
    _, job = await ask(keyed, AGENTS, **asked)
    assert job.priority == given


@pytest.mark.parametrize(("asked", "given"), [({}, 0), ({"priority": -7}, -7)])
async def test_keys_without_names_bound_no_priority(keyed, asked, given):
    assert (await ask(keyed, SHORT, **asked))[1].priority == given


async def test_keys_that_share_have_no_salt_and_those_that_do_not_one_of_their_own(keyed):
    salts = {key: (await ask(keyed, key))[1].salt for key in (AGENTS, SHORT, PEOPLE)}
    assert salts == {AGENTS: "", SHORT: "", PEOPLE: "key:people"}
    assert Generate.__struct_defaults__  # nobody's key is in what crosses to a worker


async def test_a_reload_gives_a_name_another_key_at_once(keyed):
    keyed.set_server(keys=(KeyTable(name="agents", key="another"),))
    assert (await ask(keyed, AGENTS))[0] == 401
    assert (await ask(keyed, "another"))[0] == 200
