"""Every conversation that a real client was seen to send, rendered by the templates of every family."""

from types import SimpleNamespace

import pytest

from mlxd.api.anthropic.messages import MessagesRequest
from mlxd.api.openai.chat import ChatRequest
from mlxd.config.schema import ModelTable
from tests.support.recorded_requests import recorded
from tests.unit.worker_text.conversations import FAMILIES, render

MODEL = SimpleNamespace(config=ModelTable(source="builtin:smollm2-135m"))
WITH_A_PICTURE = "anthropic-py-7"
SENT = [(ChatRequest, recorded("/v1/chat/completions")), (MessagesRequest, recorded("/v1/messages"))]


@pytest.fixture(scope="module")
def prompts():
    found = {}
    for kind, bodies in SENT:
        for client, body in bodies.items():
            if client != WITH_A_PICTURE:
                [found[client]] = kind.model_validate(body | {"model": "tiny"}).prompts(MODEL)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_them_is_lost(family, prompts):
    for client, made in prompts.items():
        text = render(family, *made.messages, tools=made.tools)
        assert all(message.content.strip() in text for message in made.messages if message.role != "assistant"), client
        assert all(one["function"]["name"] in text for one in made.tools), client
        assert all(call.name in text for message in made.messages for call in message.tool_calls), client
