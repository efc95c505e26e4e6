"""``server.unknown_fields``: what no API has is refused by name, or ignored and told."""

import pytest
from structlog.testing import capture_logs

from mlxd.api.fields.pruning import without
from tests.support.chat_requests import USER, function
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO, sse_data

BODY = HELLO | {"messages": [USER | {"colour": 1}], "brand_new": {"a": 1}, "tools": [function("f", shape="round")]}
TOLD = ["messages[0].colour", "brand_new", "tools[0].function.shape"]


async def test_they_are_refused_by_default(server):
    status, body, _ = await server.answer(BODY)
    assert (status, body["error"]["code"]) == (400, "unknown_parameter")


async def test_they_are_ignored_from_the_next_request_on(server):
    server.worker.script = echo
    server.set_server(unknown_fields="ignore")
    with capture_logs() as logs:
        status, body, _ = await server.answer(BODY)
    assert status == 200
    assert sorted(body["warnings"]) == sorted(f"the field {name} is unknown and was ignored" for name in TOLD)
    assert [sorted(line["fields"]) for line in logs if line["event"] == "unknown_fields_ignored"] == [sorted(TOLD)]
    async with server.post(BODY | {"stream": True}) as response:
        *chunks, _ = sse_data(await response.text())
    assert [("warnings" in chunk) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_those_of_some_names_are_ignored(server):
    server.worker.script = echo
    server.set_server(unknown_fields=("colour", "brand_new"))
    status, body, _ = await server.answer(BODY)
    assert (status, body["error"]["param"]) == (400, TOLD[-1])
    status, body, _ = await server.answer({name: value for name, value in BODY.items() if name != "tools"})
    assert (status, len(body["warnings"])) == (200, 2)


def with_block(kind):
    blocks = [{"type": "text", "text": "hi"}, {"type": kind, "data": "x"}]
    return {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": blocks}]}


def with_item(kind):
    return {"model": "tiny", "input": [USER, {"type": kind, "data": "x"}]}


@pytest.mark.parametrize(("path", "asking"), [("/v1/messages", with_block), ("/v1/responses", with_item)])
async def test_an_item_is_ignored_by_its_type(server, path, asking):
    server.worker.script = echo
    assert (await server.answer(asking("hologram"), path))[0] == 400
    server.set_server(unknown_fields=("hologram",))
    assert (await server.answer(asking("hologram"), path))[0] == 200
    assert (await server.answer(asking("smell"), path))[0] == 400


@pytest.mark.parametrize("fields", [{"audio": {"voice": "x"}}, {"temperature": 9}, {"messages": [USER | {"role": "robot"}]}])
async def test_what_is_known_is_refused_all_the_same(server, fields):
    server.set_server(unknown_fields="ignore")
    assert (await server.answer(BODY | fields))[0] == 400


async def test_completions_too(server):
    server.worker.script = echo
    server.set_server(unknown_fields="ignore")
    status, body, _ = await server.answer({"model": "tiny", "prompt": "hi", "brand_new": 1}, "/v1/completions")
    assert (status, body["warnings"]) == (200, ["the field brand_new is unknown and was ignored"])


async def test_many_are_ignored_quickly_and_a_few_told(server):
    server.worker.script = echo
    server.set_server(unknown_fields="ignore")
    status, body, _ = await server.answer(HELLO | {f"x{number}": number for number in range(50_000)})
    assert (status, len(body["warnings"])) == (200, 20)


def test_pruning_shares_what_it_keeps():
    value = {"a": [{"b": 1, "c": 2}, {"d": 3}], "e": {"f": 4}}
    pruned = without(value, [("a", 0, "b"), ("g",)])
    assert pruned == {"a": [{"c": 2}, {"d": 3}], "e": {"f": 4}}
    assert pruned["e"] is value["e"]
    assert value["a"][0] == {"b": 1, "c": 2}
