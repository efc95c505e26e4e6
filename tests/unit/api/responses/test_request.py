"""The other fields of a request for a response: what becomes of them, and which are refused by name."""

import msgspec
import pytest

from mlxd.types import Ability
from mlxd.wire.output_spec import JsonObject, JsonSchema
from mlxd.wire.parts import Reasoning, Text
from tests.support.fake_registry import READY, echo
from tests.support.scripted_answers import script
from tests.unit.api.responses.asking import CITY, PATH, answer, ask, function, job, model, refused


def test_limits_and_sampling():
    asked = job(max_output_tokens=5, temperature=0.5, top_p=0.25, top_k=3, seed=7, max_tool_calls=2)
    assert (asked.max_tokens, asked.sampling.temperature, asked.sampling.top_p, asked.sampling.top_k, asked.sampling.seed) == (
        5,
        0.5,
        0.25,
        3,
        7,
    )
    for none in (None, 0, -1):
        assert job(max_output_tokens=none).max_tokens == job().max_tokens


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        (None, None),
        ({}, None),
        ({"format": None}, None),
        ({"format": {}}, None),
        ({"format": {"type": "text"}, "verbosity": "low"}, None),
        ({"format": {"type": "json_object"}}, JsonObject()),
        ({"format": {"type": "json_schema", "name": "a", "schema": CITY}}, JsonSchema(field="text.format.schema", schema=CITY)),
        (
            {"format": {"type": "json_schema", "name": "a", "strict": True, "description": "d", "schema": CITY}},
            JsonSchema(field="text.format.schema", schema=CITY),
        ),
        (
            {"format": {"type": "json_schema", "json_schema": {"name": "a", "schema": CITY}}},
            JsonSchema(field="text.format.schema", schema=CITY),
        ),
    ],
)
def test_formats(text, constraint):
    assert job(text=text).output.constraint == constraint


def test_an_answer_that_must_be_a_call_has_no_text_to_be_formatted():
    asked = job(text={"format": {"type": "json_object"}}, tools=[function()], tool_choice="required").output
    assert (asked.constraint, asked.tools.required) == (None, True)


def test_effort():
    assert job(reasoning={"effort": "low", "summary": None}).prompt.reasoning_effort == "low"
    for none in (None, {}, {"effort": None}, {"effort": ""}, {"summary": "auto", "context": "auto"}):
        assert job(reasoning=none).prompt.reasoning_effort is None


def test_variables_of_the_template_are_set_as_in_chats():
    assert job(chat_template_kwargs={"enable_thinking": False}).prompt.variables == {"enable_thinking": False}
    assert job(chat_template_kwargs=None).prompt.variables == {}


def test_logprobs():
    include = {"include": ["message.output_text.logprobs"]}
    assert [
        job(**fields).output.logprobs for fields in ({}, {"top_logprobs": 0}, {"top_logprobs": 3}, include, include | {"top_logprobs": 2})
    ] == [
        *(None, None, 3, 0, 2),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        *({"background": False}, {"previous_response_id": None}, {"previous_response_id": ""}, {"conversation": None}, {"prompt": None}),
        *(
            {"truncation": "disabled"},
            {"truncation": "auto"},
            {"truncation": None},
            {"store": False},
            {"store": None},
            {"metadata": {}},
            {"metadata": None},
        ),
        *({"client_metadata": {"a": "b"}}, {"service_tier": "auto"}, {"user": "u"}, {"safety_identifier": "s"}, {"prompt_cache_key": "k"}),
        *({"prompt_cache_retention": "24h"}, {"stream_options": None}, {"stream_options": {"include_obfuscation": False}}),
        *({"include": []}, {"include": None}, {"include": ["reasoning.encrypted_content", "web_search_call.action.sources"]}),
        *({"tools": []}, {"tools": None}, {"tool_choice": "auto"}, {"tool_choice": "required"}, {"max_tool_calls": None}),
        *({"context_management": [{"type": "compaction"}]}, {"instructions": None}, {"parallel_tool_calls": True}, {"text": {}}),
    ],
)
async def test_what_asks_for_nothing_passes(server, fields):
    server.worker.script = echo
    body = await answer(server, **fields)
    assert body["status"] == "completed"
    assert "warnings" not in body


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"truncation": "middle"}, "truncation"),
        ({"moderation": {}}, "moderation"),
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": "5"}, "max_output_tokens"),
        ({"max_tool_calls": -1}, "max_tool_calls"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"instructions": 7}, "instructions"),
        ({"include": "x"}, "include"),
        ({"include": [7]}, "include[0]"),
        ({"reasoning": {"effort": "junk"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "junk"}}, "reasoning.summary"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"text": {"verbosity": "junk"}}, "text.verbosity"),
        ({"messages": []}, "messages"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"metadata": "x"}, "metadata"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({"store": "no"}, "store"),
    ],
)
async def test_what_is_refused_has_a_name(server, fields, param):
    assert (await refused(server, **fields))[0] == param


async def test_who_asks_to_go_on_with_a_stored_response_is_told_what_to_do(server):
    message = (await refused(server, previous_response_id="resp_1"))[1]
    assert "send the whole conversation" in message


async def test_what_the_answer_says_of_its_request(server):
    server.worker.script = script([])
    body = await answer(
        server,
        instructions="Be brief.",
        metadata={"a": "b", "c": 1},
        user="u",
        prompt_cache_key="k",
        safety_identifier="s",
        max_output_tokens=5,
        temperature=0.5,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "a", "schema": CITY, "strict": True}},
        tools=[function(description="d")],
        tool_choice={"type": "function", "name": "f"},
        store=True,
    )
    told = {
        "object": "response",
        "model": "tiny",
        "instructions": "Be brief.",
        "metadata": {"a": "b", "c": "1"},
        "user": "u",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "max_output_tokens": 5,
        "temperature": 0.5,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "format": {"type": "json_schema", "name": "a", "description": None, "schema": CITY, "strict": True},
            "verbosity": "medium",
        },
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": CITY, "strict": None}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": True,
        "store": False,
        "truncation": "disabled",
        "background": False,
        "previous_response_id": None,
        "error": None,
    }
    assert {name: body[name] for name in told} == told
    assert body["warnings"] == ["store: nothing is stored, so that no later request can refer to this response"]
    assert body["completed_at"] >= body["created_at"]


async def test_reasoning_is_sealed_where_it_is_asked_for_and_opened_when_it_comes_back(server):
    server.worker.script = script([Reasoning(text="hm"), Text(text="x")])
    body = await answer(server, include=["reasoning.encrypted_content"], reasoning={"summary": "auto"})
    thought, message = body["output"]
    sent_back = [{**thought, "summary": []}, message, {"role": "user", "content": "and now?"}]
    assert job(input=sent_back).prompt.messages[0].reasoning == "hm"


async def test_what_is_included_and_unknown_is_told(server):
    server.worker.script = echo
    assert (await answer(server, include=["next.month"]))["warnings"] == ["include: next.month is unknown and was ignored"]


def test_what_the_runner_lacks_is_refused_by_name():
    simple = model()
    simple.ready = msgspec.structs.replace(READY, abilities=[])
    for fields, param in (
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"tools": [function()], "tool_choice": "required"}, "tool_choice"),
    ):
        with pytest.raises(Exception, match="is not supported with this model") as refusal:
            job(model_=simple, **fields)
        assert refusal.value.param == param
    assert Ability.LOGPROBS in READY.abilities


async def test_input_tokens_are_those_of_the_prompt(server):
    body = ask(instructions="Be brief.", tools=[function()], max_output_tokens=5, stream=True)
    status, counted, _ = await server.answer(body, f"{PATH}/input_tokens")
    assert (status, counted) == (200, {"object": "response.input_tokens", "input_tokens": len("Be brief.hello there")})
    [asked] = server.worker.tokenized
    assert asked == job(instructions="Be brief.", tools=[function()]).prompt
    assert (await server.telemetry.next_record()).endpoint == "input_tokens"
    assert (await server.answer(ask(input=7), f"{PATH}/input_tokens"))[1]["error"]["param"] == "input"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1?stream=true&starting_after=3"),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("POST", "/v1/responses/compact"),
    ],
)
async def test_nothing_is_stored(server, method, path):
    async with server.session.request(method, server.url + path, json={} if method == "POST" else None) as response:
        body = await response.json()
    assert (response.status, body["error"]["code"], body["error"]["type"]) == (404, "not_found", "invalid_request_error")
    assert "here" in body["error"]["message"] or "stored" in body["error"]["message"]


async def test_the_endpoint_has_a_name(server):
    server.worker.script = echo
    await server.answer(ask(), PATH)
    record = await server.telemetry.next_record()
    assert (record.endpoint, record.response_id[:5]) == ("responses", "resp_")
