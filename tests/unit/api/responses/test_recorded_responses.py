"""Every request for a response that a real client was seen to send is answered, whole and streamed, as OpenAI's SDK reads it."""

import pytest
from openai.types.responses import Response

from tests.support.fake_registry import echo
from tests.support.recorded_requests import recorded
from tests.support.response_streams import events

REQUESTS = recorded("/v1/responses")


def test_they_are_there():
    assert len(REQUESTS) == 16


@pytest.mark.parametrize("client", REQUESTS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_it_is_answered(server, client, streamed):
    server.worker.script = echo
    body = REQUESTS[client] | {"model": "tiny", "stream": streamed}
    async with server.post(body, "/v1/responses") as response:
        text = await response.text()
    assert response.status == 200, text
    if not streamed:
        assert Response.model_validate_json(text).status == "completed"
        return
    found = events(text)
    assert found[-1]["type"] == "response.completed"
    assert Response.model_validate(found[-1]["response"]).output_text
