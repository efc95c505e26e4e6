"""GET /admin/v1/keys."""

from mlxd.config.principal import API_KEYS, Principal
from mlxd.control.quotas.key_use import Right
from mlxd.types import Usage
from tests.unit.admin.conftest import bearer, call

AGENTS = Principal(
    name="agents", models=("qwen*",), max_concurrent=8, requests_per_minute=600, tokens_per_minute=1000, priority=-2, salt="key:agents"
)


async def test_each_key_says_by_its_name_what_it_may_and_what_it_uses(daemon, admin):
    daemon.holders = [AGENTS, API_KEYS]
    use = daemon.key_uses.of(AGENTS)
    with use.generation(AGENTS, expected=250):
        use.spend(Usage(prompt_tokens=100, cached_tokens=60, completion_tokens=7))
        use.refuse(Right.MODELS)
        listed = await call(admin, "GET", "/admin/v1/keys")
    agents, short = listed.body["keys"]
    assert agents.pop("last_used").endswith("Z")
    assert agents == {
        "name": "agents",
        "models": ["qwen*"],
        "limits": {"max_concurrent": 8, "requests_per_minute": 600, "tokens_per_minute": 1000},
        "priority": -2,
        "shares_cache": False,
        "running": 1,
        "requests_this_minute": 1,
        "tokens_this_minute": 107,
        "tokens_held": 250,
        "requests": 1,
        "tokens": {"prompt": 100, "cached": 60, "completion": 7},
        "refused": {"max_concurrent": 0, "requests_per_minute": 0, "tokens_per_minute": 0, "models": 1},
    }
    assert (short["name"], short["priority"], short["shares_cache"], short["last_used"]) == ("api_keys", None, True, None)
    assert set(short["limits"].values()) == {None}


async def test_the_reading_token_may_look(guarded):
    assert (await call(guarded, "GET", "/admin/v1/keys", headers=bearer("read-token"))).status == 200
    assert (await call(guarded, "GET", "/admin/v1/keys")).status == 401
