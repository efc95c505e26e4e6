"""Every chat that a real client was seen to send, rendered by the templates of every family."""

from types import SimpleNamespace

import pytest

from mlxd.api.openai.chat import ChatRequest
from mlxd.config.schema import ModelTable
from mlxd.errors import InvalidRequestError
from tests.support.recorded_requests import recorded
from tests.unit.worker_text.conversations import FAMILIES, render

MODEL = SimpleNamespace(config=ModelTable(source="builtin:smollm2-135m"))
CHATS = recorded("/v1/chat/completions")
REFUSED = {("mistral", "aider-1")}  # a system message in last place


def prompt(client):
    (made,) = ChatRequest.model_validate(CHATS[client] | {"model": "tiny"}).prompts(MODEL)
    return made


@pytest.fixture(scope="module")
def prompts():
    return {client: prompt(client) for client in CHATS}


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_them_is_lost(family, prompts):
    for client, made in prompts.items():
        if (family, client) in REFUSED:
            with pytest.raises(InvalidRequestError):
                render(family, *made.messages, tools=made.tools)
            continue
        text = render(family, *made.messages, tools=made.tools)
        assert all(message.content.strip() in text for message in made.messages if message.role != "assistant"), client
        assert all(one["function"]["name"] in text for one in made.tools), client
        assert all(call.name in text for message in made.messages for call in message.tool_calls), client
