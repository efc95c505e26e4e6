"""The default model, through the real daemon, with the real SDK: answers with meaning."""

import time

import openai
import pytest

from tests.e2e.client import post, stream
from tests.support.tiny_model import EOS

pytestmark = pytest.mark.real_model

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
SIMPLE = '[models.tiny]\nsource = "{dir}/model"\nbatching = {mode = "simple"}\n'


@pytest.fixture(scope="module")
def daemon(continuous):
    return continuous


@pytest.fixture(scope="module")
def client(daemon):
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_it_knows_the_capital_of_france_and_the_second_time_is_a_hit(daemon):
    """Of other runners tiny models show it: which one it is matters to a worker alone."""
    body = {
        "model": "smollm2",
        "messages": [{"role": "system", "content": "Answer briefly. " * 20}, *FRANCE],
        "temperature": 0,
        "max_tokens": 12,
    }
    status, headers, first = post(daemon, "/v1/chat/completions", body)
    assert status == 200
    assert "Paris" in first["choices"][0]["message"]["content"]
    assert "<|im_end|>" not in first["choices"][0]["message"]["content"]
    assert headers["x-mlxd-cache"] in {"miss", "prefix_hit"}
    _, headers, second = post(daemon, "/v1/chat/completions", body)
    assert headers["x-mlxd-cache"] == "hit"
    assert second["choices"] == first["choices"]
    usage = second["usage"]
    assert 0 < usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"] <= 16


def test_so_it_is_where_requests_are_computed_one_by_one(start_daemon):
    """Of a tiny model: which runner it is matters to a worker alone."""
    daemon = start_daemon(SIMPLE)
    daemon.wait_ready()
    assert daemon.model()["runner"]["name"] == "simple"
    body = {"model": "tiny", "prompt": "Once upon a time", "temperature": 0, "max_tokens": 8, "logit_bias": {str(EOS): -100}}
    (_, cold, first), (_, warm, second) = (post(daemon, "/v1/completions", body) for _ in range(2))
    assert (cold["x-mlxd-cache"], warm["x-mlxd-cache"]) == ("miss", "hit")
    assert second["choices"] == first["choices"]


def test_the_second_time_its_first_token_comes_sooner(daemon):
    def first_token():
        """Seconds."""
        began = time.monotonic()
        with stream(daemon, {"model": "smollm2", "prompt": "Name a city, and why you like it. " * 20, "max_tokens": 2}) as running:
            running.first()
        return time.monotonic() - began

    cold, warm = first_token(), first_token()
    assert warm < cold


def test_the_sdk_streams(client):
    answer = client.chat.completions.create(
        model="smollm2", messages=FRANCE, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(answer)
    assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage.completion_tokens > 3


def test_the_sdk_continues_a_conversation_from_the_cache(client):
    messages = [{"role": "user", "content": "Tell me about France in a few sentences."}]
    first = client.chat.completions.create(model="default", messages=messages, temperature=0, max_tokens=20)  # more than a block
    messages += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "And of Spain?"}]
    second = client.chat.completions.create(model="default", messages=messages, temperature=0, max_tokens=8)
    assert second.usage.prompt_tokens_details.cached_tokens > first.usage.prompt_tokens


def test_a_stop_string_ends_the_answer_and_is_not_shown(client):
    answer = client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=0, stop=["is Par"])
    assert answer.choices[0].message.content == "The capital of France "
    assert answer.choices[0].finish_reason == "stop"


def test_a_seed_repeats_itself(client):
    def draw(seed):
        return (
            client.completions.create(model="smollm2", prompt="Once upon a time", max_tokens=5, temperature=1.2, seed=seed).choices[0].text
        )

    drawn = draw(7)
    assert draw(7) == drawn
    assert len({drawn, draw(1), draw(2)}) > 1


def test_errors_arrive_as_the_sdks_own(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nope", messages=FRANCE)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=-3)
    with pytest.raises(openai.BadRequestError, match="8192"):
        client.completions.create(model="smollm2", prompt="word " * 9000)
    assert [model.id for model in client.models.list()] == ["smollm2", "default"]
