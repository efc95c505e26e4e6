"""Requests of Anthropic's API as the worker gets them, without a server."""

from mlxd.api.anthropic.messages import messages_request
from mlxd.config.schema import ModelTable
from tests.support.fake_registry import FakeModel

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def body(**fields):
    return {"model": "tiny", "max_tokens": 20, "messages": [USER]} | fields


def tool(name="get_weather", **fields):
    return {"name": name, "input_schema": SCHEMA} | fields


def read(unknown="refuse", **fields):
    return messages_request(body(**fields), unknown)


def job(model=None, unknown="refuse", **fields):
    """Returns the worker's job of a body with these fields."""
    model = model or FakeModel("tiny", ModelTable.model_validate({"source": "org/tiny"}))
    return read(unknown, **fields).to_wire("msg_1", model).all[0]


def shown(**fields):
    """Returns what the chat template sees: role, content, reasoning, calls, whose result."""
    return [
        (one.role, one.content, one.reasoning, [(call.id, call.name, call.arguments) for call in one.tool_calls], one.tool_call_id)
        for one in job(**fields).prompt.messages
    ]


def said(**fields):
    """Returns role and content of what the chat template sees."""
    return [one[:2] for one in shown(**fields)]
