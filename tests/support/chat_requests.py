"""Chats as the worker gets them, without a server."""

from mlxd.api.openai.chat import chat_request
from mlxd.config.schema import ModelTable
from tests.support.fake_registry import FakeModel

USER = {"role": "user", "content": "hi"}


def chat(**fields):
    """Returns a body."""
    return {"model": "tiny", "messages": [USER]} | fields


def job(body, model=None, unknown="refuse"):
    """Returns the first job of a body."""
    model = model or FakeModel("tiny", ModelTable.model_validate({"source": "org/tiny"}))
    return chat_request(body, unknown).to_wire("chatcmpl-1", model).all[0]


def function(name="get_weather", **fields):
    """Returns a tool."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters} | fields}
