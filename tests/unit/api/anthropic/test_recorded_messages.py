"""Every message that a real client was seen to ask for is answered, whole and streamed, in a shape that Anthropic's SDK reads."""

import json

import pytest

from tests.support.fake_registry import echo
from tests.support.message_streams import by_hand, by_sdk, checked, events_of, message
from tests.support.recorded_requests import recorded

MESSAGES = recorded("/v1/messages")
COUNTS = recorded("/v1/messages/count_tokens")
WITH_A_PICTURE = "anthropic-py-7"


def test_they_are_there():
    assert (len(MESSAGES), len(COUNTS)) == (34, 4)


async def ask(server, client, **fields):
    async with server.post(MESSAGES[client] | {"model": "tiny"} | fields, "/v1/messages?beta=true") as response:
        return response.status, await response.text()


@pytest.mark.parametrize("client", [client for client in MESSAGES if client != WITH_A_PICTURE])
async def test_it_is_answered_both_ways(server, client):
    server.worker.script = echo
    status, whole = await ask(server, client, stream=False)
    assert status == 200, whole
    _, streamed = await ask(server, client, stream=True)
    assert by_hand(checked(events_of(streamed))) == json.loads(whole)["content"]
    assert by_sdk(events_of(streamed)).to_dict()["content"] == message(json.loads(whole)).to_dict()["content"]


async def test_a_picture_that_is_none_is_refused_by_its_place(server):
    status, told = await ask(server, WITH_A_PICTURE)  # its base64 was replaced when it was recorded
    assert status == 400
    assert "messages[0].content[0].source.data is no valid base64" in told


async def test_a_picture_is_shown_to_the_model(server):
    server.worker.script = echo
    sent = json.loads(json.dumps(MESSAGES[WITH_A_PICTURE]))
    sent["messages"][0]["content"][0]["source"]["data"] = "AAEC"
    async with server.post(sent | {"model": "tiny"}, "/v1/messages?beta=true") as response:
        assert response.status == 200
    [shown] = [one for message in server.worker.submitted[-1].generate.prompt.messages for one in message.media]
    assert (shown.kind, shown.files, shown.param) == ("image", [b"\x00\x01\x02"], "messages[0].content[0].source.data")


@pytest.mark.parametrize("client", COUNTS)
async def test_it_is_counted(server, client):
    status, counted, _ = await server.answer(COUNTS[client] | {"model": "tiny"}, "/v1/messages/count_tokens?beta=true")
    assert (status, [*counted]) == (200, ["input_tokens"])
