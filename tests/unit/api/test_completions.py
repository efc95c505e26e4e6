"""Text completions, whole and streamed."""

import pytest

from mlxd.wire.prompts import TextPrompt, TokenPrompt
from tests.support.fake_registry import echo
from tests.unit.api.conftest import sse_data

PATH = "/v1/completions"
ONCE = {"model": "tiny", "prompt": "once upon"}


async def test_whole_answer(server):
    server.worker.script = echo
    status, body, headers = await server.answer(ONCE, PATH)
    assert (status, headers["x-mlxd-cache"]) == (200, "miss")
    assert body["id"].startswith("cmpl-")
    assert (body["object"], body["model"]) == ("text_completion", "tiny")
    assert body["choices"] == [{"index": 0, "text": "once upon ", "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 9
    assert (await server.telemetry.next_record()).endpoint == "completions"


async def test_stream(server):
    server.worker.script = echo
    async with server.post(ONCE | {"stream": True, "stream_options": {"include_usage": True}}, PATH) as response:
        *chunks, usage, done = sse_data(await response.text())
    assert done == "[DONE]"
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["once ", "upon ", ""]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)


@pytest.mark.parametrize(
    ("prompt", "wire"),
    [
        ("a b", TextPrompt(text="a b")),
        (["a b"], TextPrompt(text="a b")),
        ([0, 999], TokenPrompt(token_ids=[0, 999])),
        ([[5]], TokenPrompt(token_ids=[5])),
    ],
)
async def test_forms_of_prompt(server, prompt, wire):
    server.worker.script = echo
    status, _, _ = await server.answer(ONCE | {"prompt": prompt}, PATH)
    assert status == 200
    assert server.worker.submitted[0].generate.prompt == wire


@pytest.mark.parametrize("neutral", [{"best_of": 1}, {"echo": False}, {"suffix": None}, {"logprobs": None}, {"n": 1, "user": "u"}])
async def test_fields_that_ask_for_nothing_pass(server, neutral):
    server.worker.script = echo
    status, _, _ = await server.answer(ONCE | neutral, PATH)
    assert status == 200


async def test_max_tokens(server):
    server.worker.script = echo
    await server.answer(ONCE | {"max_tokens": 4, "stop": ["\n", "END"]}, PATH)
    generate = server.worker.submitted[0].generate
    assert (generate.max_tokens, generate.output.stop) == (4, ["\n", "END"])
