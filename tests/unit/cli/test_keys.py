"""``mlxd keys``, and keys in ``mlxd requests``."""

import json
import time
from contextlib import ExitStack

from mlxd.config.principal import API_KEYS, Principal
from mlxd.control.live_requests import LiveRequest
from mlxd.types import Usage

AGENTS = Principal(name="agents", max_concurrent=1, tokens_per_minute=200_000)


async def test_who_uses_how_much(mlxd, daemon):
    daemon.holders = [AGENTS, API_KEYS]
    use = daemon.key_uses.of(AGENTS)
    with use.generation(AGENTS):
        use.spend(Usage(prompt_tokens=1100, cached_tokens=60, completion_tokens=7))
        ran = await mlxd("keys")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        "KEY          RUN  REQ/MIN           TOK/MIN  REQUESTS     IN  OUT  REFUSED",
        "agents    1 of 1        1  1,107 of 200,000         1  1,100    7        0",
        "api_keys       0        0                 0         0      0    0        0",
    ]


async def test_for_programs(mlxd):
    (anonymous,) = json.loads((await mlxd("keys", "--json")).out)["keys"]
    assert (anonymous["name"], anonymous["running"], anonymous["last_used"]) == ("anonymous", 0, None)


async def test_requests_say_by_whose_key_they_were_asked(mlxd, daemon):
    with ExitStack() as there:
        for identity, key in (("chatcmpl-1", "agents"), ("msg_2", "api_keys")):
            live = LiveRequest(identity, "r", "chat", "tiny", key=key, streamed=True, stop=lambda _: None, arrived=time.time())
            there.enter_context(daemon.requests.track(live))
        ran = await mlxd("requests", "tiny")
    assert ran.lines == [
        "REQUEST     KEY       STAGE    AGE  IN  CACHED  OUT",
        "chatcmpl-1  agents    loading   0s   -       -    0",
        "msg_2       api_keys  loading   0s   -       -    0",
    ]
