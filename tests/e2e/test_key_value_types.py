"""Keys and values of 8 bits as an operator gets them: proved and told when a model is loaded, or refused there; never at a request."""

import pytest

from tests.e2e.client import post

pytestmark = pytest.mark.real_model

# The text by which it is judged is as long as the context, at most.
BOTH = """
[defaults.batching]
mode = "continuous"
attention = "rows"
[defaults.cache]
dtype = "int8"
[models.smollm2]
source = "builtin:smollm2-135m"
aliases = ["default"]
context_length = 192
[models.tiny]
source = "{dir}/model"
"""
ASK = {
    "model": "smollm2",
    "messages": [{"role": "system", "content": "Answer briefly. " * 20}, {"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 12,
}


def test_a_model_is_proved_and_another_refused_by_name(start_daemon):
    daemon = start_daemon(BOTH)
    daemon.until(lambda: daemon.model("smollm2")["state"] == "ready", "the real model is ready")
    status, _, first = post(daemon, "/v1/chat/completions", ASK)
    assert status == 200
    assert "Paris" in first["choices"][0]["message"]["content"]
    _, headers, second = post(daemon, "/v1/chat/completions", ASK)
    assert (headers["x-mlxd-cache"], second["choices"]) == ("hit", first["choices"])

    shown = daemon.model("smollm2")
    stored, blocks = shown["keys_and_values"], shown["cache"]["blocks"]
    assert [(one["type"], one["group"], one["layers"]) for one in stored["layers"]] == [("int8", 64, 30)]
    assert (stored["token_bytes"], stored["plain_token_bytes"]) == (30 * 2 * 3 * 68, 30 * 2 * 3 * 64 * 4)
    assert abs(stored["quality"]["perplexity"] / stored["quality"]["plain_perplexity"] - 1) < 0.01
    assert stored["quality"]["agreement"] > 0.98
    assert shown["cache"]["cached_bytes"] == 16 * stored["token_bytes"] * blocks["cached"]

    refused = daemon.until(lambda: daemon.model("tiny")["last_error"], "the tiny model is refused")
    assert 'cache.dtype is "int8", but heads of 16 and 16 elements are no multiples of 32; set it to "model"' in refused
    daemon.reload(BOTH + '[models.tiny.cache]\ndtype = "model"\n')
    daemon.until(lambda: daemon.model("tiny")["state"] == "ready", "the tiny model is ready")
    assert post(daemon, "/v1/completions", {"model": "tiny", "prompt": "Once", "max_tokens": 3})[0] == 200
    assert post(daemon, "/v1/chat/completions", ASK)[2]["choices"] == first["choices"]
