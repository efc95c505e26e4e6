"""What the SDKs make of keys that are refused, of models that are not theirs, and of limits: their own classes of errors."""

import anthropic
import openai
import pytest

from mlxd.config.key_table import KeyTable
from tests.support.fake_registry import echo

pytestmark = pytest.mark.usefixtures("few_authorities")

ASKED = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def keyed(server):
    server.registry.add("other")
    server.worker.script = echo
    server.set_server(keys=(KeyTable(name="agents", key="right", models=("tiny",), requests_per_minute=1),))
    return server


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_s(keyed, stream):
    def client(key):
        return openai.AsyncOpenAI(base_url=f"{keyed.url}/v1", api_key=key, max_retries=0)

    async def ask(key, model):
        async with client(key) as sdk:
            return await sdk.chat.completions.create(model=model, messages=ASKED, stream=stream)

    with pytest.raises(openai.AuthenticationError):
        await ask("wrong", "tiny")
    await ask("right", "tiny")
    with pytest.raises(openai.RateLimitError) as limited:
        await ask("right", "tiny")
    assert (limited.value.code, limited.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "60")
    keyed.now += 60
    with pytest.raises(openai.PermissionDeniedError) as denied:
        await ask("right", "other")
    assert denied.value.param == "model"


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_s(keyed, stream):
    async def ask(model, **credentials):
        async with anthropic.AsyncAnthropic(base_url=keyed.url, max_retries=0, **credentials) as sdk:
            return await sdk.messages.create(model=model, messages=ASKED, max_tokens=9, stream=stream)

    with pytest.raises(anthropic.AuthenticationError):
        await ask("tiny", api_key="wrong")
    await ask("tiny", api_key="right")
    with pytest.raises(anthropic.RateLimitError) as limited:
        await ask("tiny", auth_token="right")
    assert limited.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    keyed.now += 60
    with pytest.raises(anthropic.PermissionDeniedError):
        await ask("other", api_key="right")
