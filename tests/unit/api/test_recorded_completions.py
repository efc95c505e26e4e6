"""Every text completion that a real client was seen to send is answered, whole and streamed, in a shape that OpenAI's SDK reads."""

import pytest
from msgspec.structs import replace
from openai.types import Completion

from mlxd.wire.logprobs import TokenLogprobs
from tests.support.recorded_requests import recorded
from tests.unit.api.conftest import sse_data

PATH = "/v1/completions"
SENT = recorded(PATH)


def script(request):
    spec = request.generate.output
    logprobs = [TokenLogprobs(id=1, text="a", raw=b"a", logprob=-1.0)] if spec.logprobs is not None else []
    request.started()
    if spec.echo:
        request.echoed("a", logprobs)
    request.delta("a", 1, logprobs)
    request.finish()


@pytest.fixture
def asked(server):
    server.worker.script = script
    server.model.ready = replace(server.model.ready, vocab_size=50_000)
    return lambda body: server.post(body | {"model": "tiny"}, PATH)


def test_they_are_there():
    assert len(SENT) == 9


@pytest.mark.parametrize("client", SENT)
@pytest.mark.parametrize("stream", [False, True])
async def test_it_is_answered(asked, client, stream):
    body = SENT[client] | {"stream": stream}
    if not stream:
        body.pop("stream_options", None)
    async with asked(body) as response:
        text = await response.text()
    assert response.status == 200, text
    if stream:
        *chunks, done = sse_data(text)
        assert done == "[DONE]"
    # In chunks finish_reason is null, which the SDK's type does not know of, though OpenAI sends it.
    found = [Completion.construct(**chunk) for chunk in chunks] if stream else [Completion.model_validate_json(text)]
    said = "".join(choice.text for one in found for choice in one.choices)
    assert said == ("aa" if body.get("echo") else "a")
    assert any(choice.logprobs for one in found for choice in one.choices) == (body.get("logprobs") is not None)
