"""Every chat that a real client was seen to send is answered, whole and streamed, in a shape that OpenAI's SDK reads."""

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support.fake_registry import echo
from tests.support.recorded_requests import recorded
from tests.unit.api.conftest import sse_data

CHATS = recorded("/v1/chat/completions")


def test_they_are_there():
    assert len(CHATS) == 91


@pytest.mark.parametrize("client", CHATS)
async def test_it_is_answered(server, client):
    server.worker.script = echo
    body = CHATS[client] | {"model": "tiny"}
    async with server.post(body) as response:
        text = await response.text()
    assert response.status == 200, text
    if not body.get("stream"):
        assert ChatCompletion.model_validate_json(text).choices[0].message.role == "assistant"
        return
    *chunks, done = sse_data(text)
    assert done == "[DONE]"
    assert [ChatCompletionChunk.model_validate(chunk) for chunk in chunks]


@pytest.mark.parametrize("client", CHATS)
async def test_it_is_answered_the_other_way(server, client):
    server.worker.script = echo
    body = {name: value for name, value in CHATS[client].items() if name != "stream_options"} | {"model": "tiny"}
    async with server.post(body | {"stream": not body.get("stream")}) as response:
        text = await response.text()
    assert response.status == 200, text
