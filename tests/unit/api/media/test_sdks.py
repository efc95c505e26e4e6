"""Pictures as OpenAI's and Anthropic's own clients send them."""

import base64
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest

from tests.support.fake_registry import echo
from tests.support.media_server import PICTURE

TEXT = "what is it?"
BASE64 = base64.b64encode(PICTURE).decode()
URL = f"data:image/png;base64,{BASE64}"


@asynccontextmanager
async def of_openai(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        yield client


def seen(server):
    [shown] = [one for message in server.worker.submitted[-1].generate.prompt.messages for one in message.media]
    return shown


async def test_chats_of_openai(showing):
    showing.worker.script = echo
    image = {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}
    async with of_openai(showing) as client:
        messages = [{"role": "user", "content": [{"type": "text", "text": TEXT}, image]}]
        answer = await client.chat.completions.create(model="tiny", messages=messages)
    assert answer.choices[0].message.content.strip() == TEXT
    assert (seen(showing).files, seen(showing).at, seen(showing).detail) == ([PICTURE], len(TEXT), "low")


async def test_responses_of_openai(showing, pictures):
    showing.worker.script = echo
    image = {"type": "input_image", "image_url": pictures.url("/picture"), "detail": "auto"}
    async with of_openai(showing) as client:
        items = [{"role": "user", "content": [image, {"type": "input_text", "text": TEXT}]}]
        answer = await client.responses.create(model="tiny", input=items)
    assert answer.output_text.strip() == TEXT
    assert (seen(showing).files, seen(showing).at) == ([PICTURE], 0)


async def test_a_refusal_in_openai_s_words(showing, pictures):
    async with of_openai(showing) as client:
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": pictures.url("/status?404")}}]}]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="tiny", messages=messages)
    assert (refused.value.param, refused.value.code) == ("messages[0].content[0].image_url.url", "invalid_request")


async def test_messages_of_anthropic(showing):
    showing.worker.script = echo
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a"}, image]}
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    messages = [{"role": "user", "content": TEXT}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    async with anthropic.AsyncAnthropic(base_url=showing.url, api_key="none", max_retries=0) as client:
        await client.messages.create(model="tiny", max_tokens=9, messages=messages)
        assert (seen(showing).files, seen(showing).at) == ([PICTURE], 1)
        counted = await client.messages.count_tokens(model="tiny", messages=messages)
    assert counted.input_tokens == len(TEXT) + 1
    assert showing.worker.tokenized[-1].messages[-1].media == showing.worker.submitted[-1].generate.prompt.messages[-1].media
