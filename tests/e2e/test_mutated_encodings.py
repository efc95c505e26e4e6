"""Real requests for vectors and scores, damaged in any way, to a real daemon: answered, or refused by its own words.

``MLXD_MUTATIONS=10000 python -m pytest tests/e2e/test_mutated_encodings.py`` makes so many of them.
"""

import asyncio
import json
import os
import random
from collections import Counter

import aiohttp
import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.support.error_shapes import check_error
from tests.support.mutations import mutated_request
from tests.support.patience import PATIENCE
from tests.support.recorded_requests import Recorded, recorded_requests

MUTATIONS = int(os.environ.get("MLXD_MUTATIONS", "240"))
AT_ONCE = 8
MODELS = '[models.vectors]\nsource = "fake/embeds"\n[models.scores]\nsource = "fake/reranks"\n'
PAIRS = {"text_1": ["one", "two"], "text_2": ["three", "four"]}
SENT = [
    *(one for one in recorded_requests() if "embeddings" in one.path or "rerank" in one.path),
    *(Recorded("vllm", path, {"model": "scores"} | PAIRS) for path in ("/v1/score", "/score")),
    Recorded("jina", "/rerank", {"model": "scores", "query": "q", "documents": ["a", {"text": "b"}], "return_documents": True}),
]


@pytest.mark.timeout(3600)
async def test_every_answer_is_one_of_the_api_s_and_the_workers_live(tmp_path):
    rng = random.Random(int(os.environ.get("MLXD_SEED", "11")))  # noqa: S311 - no secret
    seen = Counter()
    with DaemonProcess(tmp_path, MODELS, module="tests.support.fake_daemon") as daemon:
        daemon.wait_ready()
        workers = [daemon.model(name)["pid"] for name in ("vectors", "scores")]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
            for _ in range(0, MUTATIONS, AT_ONCE):
                chosen = [rng.choice(SENT) for _ in range(AT_ONCE)]
                sent = [mutated_request(one, rng, "vectors" if "embeddings" in one.path else "scores") for one in chosen]
                seen.update(await asyncio.gather(*(outcome(session, daemon.url, one) for one in sent)))
        assert {200, 400} <= seen.keys(), seen
        assert [daemon.model(name)["pid"] for name in ("vectors", "scores")] == workers
        assert all(daemon.model(name)["requests"] == {"running": 0, "waiting": 0} for name in ("vectors", "scores"))
        assert not daemon.events("request_crashed")


async def outcome(session, url, sent):
    """The status of the answer, which is one of the API's: of all texts, or an error in its shape."""
    async with session.post(url + sent.target, data=sent.data, headers=sent.headers) as response:
        text = await response.text()
    assert response.status < 500, (sent.data[:500], text)
    body = json.loads(text)
    if response.status >= 400:
        check_error(body, sent.target, sent.headers, sent.data[:500])
    else:
        assert body["usage"]["total_tokens"] >= 0
        assert body.get("data") or "results" in body
    return response.status
