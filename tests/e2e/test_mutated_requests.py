"""Real requests, damaged in any way, to a real daemon and the real text path of a worker: answered, or refused in their API's own shape.

``MLXD_MUTATIONS=10000 python -m pytest tests/e2e/test_mutated_requests.py`` makes so many of them.
"""

import asyncio
import json
import os
import random
from collections import Counter

import aiohttp
import pytest

from tests.support.error_shapes import check_error
from tests.support.mutations import mutated_request
from tests.support.patience import PATIENCE
from tests.support.recorded_requests import recorded_requests
from tests.support.scripted.script import Rule, call, thought

MUTATIONS = int(os.environ.get("MLXD_MUTATIONS", "160"))
AT_ONCE = 8
ANSWERS = [
    Rule(says="Hello, and nothing else."),
    Rule(says=thought("They want a call.", call("get_weather", "Let me look. ", city="Oslo"))),
    Rule(says='{"name": "x"}'),
    Rule(says="<tool_call>\n{"),
]


@pytest.mark.timeout(3600)
async def test_every_answer_is_one_of_the_api_s_and_the_worker_lives(scripted):
    rng = random.Random(int(os.environ.get("MLXD_SEED", "11")))  # noqa: S311 - no secret
    worker = scripted.model("scripted")["pid"]
    seen = Counter()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
        requests = await served_requests(session, scripted.url)
        for begin in range(0, MUTATIONS, AT_ONCE):
            scripted.say(rng.choice(ANSWERS))
            count = min(AT_ONCE, MUTATIONS - begin)
            sent = [mutated_request(rng.choice(requests), rng, "scripted") for _ in range(count)]
            for status in await asyncio.gather(*(outcome(session, scripted.url, one) for one in sent)):
                seen[status] += 1
    assert {200, 400} <= seen.keys(), seen
    assert scripted.model("scripted")["pid"] == worker
    assert scripted.model("scripted")["requests"] == {"running": 0, "waiting": 0}
    assert not scripted.events("request_crashed")


async def served_requests(session, url):
    """Those whose call there is."""
    async with session.get(f"{url}/openapi.json") as response:
        paths = (await response.json())["paths"]
    return [request for request in recorded_requests() if request.path in paths]


async def outcome(session, url, sent):
    """The status of an answer that is as it should be."""
    async with session.post(url + sent.target, data=sent.data, headers=sent.headers) as response:
        data = await response.read()
    what = f"{response.status} {data[:300]!r} to {sent.target} {sent.headers} {sent.data[:3000]!r}"
    assert response.status < 500, what
    if response.status != 200:
        check_error(json.loads(data), sent.target, sent.headers, what)
    elif response.content_type == "application/json":
        assert json.loads(data), what
    else:
        assert response.content_type == "text/event-stream", what
        assert_ends(data.decode(), what)
    return response.status


def assert_ends(stream, what):
    """A stream has an end that its API knows, and no error of ours before."""
    *_, last = [line for line in stream.splitlines() if line.startswith("data: ")]
    said = last.removeprefix("data: ")
    assert said == "[DONE]" or json.loads(said)["type"] in {"message_stop", "response.completed", "response.incomplete"}, what
