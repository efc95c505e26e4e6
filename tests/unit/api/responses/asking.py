"""Requests for responses."""

from mlxd.api.responses.request import responses_request
from mlxd.config.schema import ModelTable
from tests.support.fake_registry import FakeModel
from tests.support.response_streams import events

PATH = "/v1/responses"
HELLO = {"model": "tiny", "input": "hello there"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def ask(**fields):
    """Returns a body."""
    return HELLO | fields


def function(name="f", **fields):
    """Returns a tool."""
    return {"type": "function", "name": name, "parameters": CITY} | fields


def custom(name="patch", **fields):
    """Returns a tool whose input is free text."""
    return {"type": "custom", "name": name} | fields


def read(unknown="refuse", **fields):
    """Returns a request."""
    return responses_request(ask(**fields), unknown)


def model(**settings):
    """Returns a model that is ready."""
    return FakeModel("tiny", ModelTable.model_validate({"source": "org/tiny"} | settings))


def job(unknown="refuse", model_=None, **fields):
    """Returns the worker's job."""
    [found] = read(unknown, **fields).to_wire("resp_1", model_ or model()).all
    return found


async def answer(server, **fields):
    """Returns a whole answer."""
    status, body, _ = await server.answer(ask(**fields), PATH)
    assert status == 200, body
    return body


async def stream(server, **fields):
    """Returns the events of a stream."""
    async with server.post(ask(stream=True, **fields), PATH) as response:
        assert response.status == 200, await response.text()
        return events(await response.text())


async def refused(server, **fields):
    """Returns the field that a refusal names, and its message."""
    status, body, _ = await server.answer(ask(**fields), PATH)
    assert status == 400, body
    return body["error"]["param"], body["error"]["message"]
