"""What a model's runner lacks is refused by name, before the worker hears of it."""

import msgspec
import pytest

from mlxd.types import Ability
from tests.support.chat_requests import function
from tests.support.fake_registry import READY, echo
from tests.unit.api.conftest import HELLO

TOOLS = {"tools": [function("f", strict=True)]}

NEEDS = [
    ({"response_format": {"type": "json_object"}}, "response_format", Ability.CONSTRAINTS),
    ({"guided_regex": "a"}, "guided_regex", Ability.CONSTRAINTS),
    ({"grammar": 'root ::= "a"'}, "grammar", Ability.CONSTRAINTS),
    (TOOLS | {"tool_choice": "required"}, "tool_choice", Ability.CONSTRAINTS),
    (TOOLS | {"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", Ability.CONSTRAINTS),
    ({"thinking_token_budget": 5}, "thinking_token_budget", Ability.CONSTRAINTS),
    ({"logprobs": True}, "logprobs", Ability.LOGPROBS),
]


@pytest.mark.parametrize(("fields", "param", "ability"), NEEDS, ids=[param for _, param, _ in NEEDS])
async def test_it_is_refused(server, fields, param, ability):
    server.worker.script = echo
    assert (await server.answer(HELLO | fields))[0] == 200
    server.model.ready = msgspec.structs.replace(READY, abilities=[one for one in Ability if one is not ability])
    status, body, _ = await server.answer(HELLO | fields)
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "unsupported_parameter", param)
    assert "'tiny' runs on the simple runner" in body["error"]["message"]
    assert len(server.worker.submitted) == 1


@pytest.mark.parametrize("fields", [{}, TOOLS, TOOLS | {"parallel_tool_calls": False}, {"enable_thinking": False}, {"logprobs": False}])
async def test_wishes_are_not(server, fields):
    server.worker.script = echo
    server.model.ready = msgspec.structs.replace(READY, abilities=[])
    status, body, _ = await server.answer(HELLO | fields)
    assert status == 200
    assert len(body.get("warnings", [])) == ("tools" in fields) + ("parallel_tool_calls" in fields)
    rules = server.worker.submitted[0].generate.output.tools
    assert rules is None or not any(tool.strict for tool in rules.tools)
