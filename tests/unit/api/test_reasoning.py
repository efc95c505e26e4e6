"""What a model thought is apart from what it answered."""

from mlxd.wire.events import Delta
from mlxd.wire.parts import Reasoning, Text
from tests.unit.api.conftest import HELLO, sse_data


def thinking(request):
    request.started()
    for part in (Reasoning(text="Hm, "), Reasoning(text="France."), Text(text="Paris"), Text(text=".")):
        request.stream.push(Delta(id=request.generate.id, parts=[part], tokens=1))
    request.finish()


async def stream(server, body, path="/v1/chat/completions"):
    async with server.post(body | {"stream": True}, path) as response:
        *chunks, done = sse_data(await response.text())
    assert done == "[DONE]"
    return [chunk["choices"][0] for chunk in chunks]


async def test_a_whole_answer_has_both(server):
    server.worker.script = thinking
    _, body, _ = await server.answer(HELLO)
    message = body["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Paris.", "Hm, France.")


async def test_an_answer_without_reasoning_has_no_field_for_it(server):
    server.worker.script = lambda request: (request.started(), request.finish("hi", 1))
    _, body, _ = await server.answer(HELLO)
    assert "reasoning_content" not in body["choices"][0]["message"]


async def test_a_stream_has_both_in_order(server):
    server.worker.script = thinking
    deltas = [choice["delta"] for choice in await stream(server, HELLO)]
    expected = [
        {"role": "assistant", "reasoning_content": "Hm, ", "reasoning": "Hm, "},
        {"reasoning_content": "France.", "reasoning": "France."},
        {"content": "Paris"},
        {"content": "."},
        {},
    ]
    assert deltas == expected


async def test_a_text_completion_is_all_that_was_written(server):
    server.worker.script = thinking
    body = {"model": "tiny", "prompt": "hi"}
    _, whole, _ = await server.answer(body, "/v1/completions")
    texts = [choice["text"] for choice in await stream(server, body, "/v1/completions")]
    assert whole["choices"][0]["text"] == "".join(texts) == "Hm, France.Paris."
