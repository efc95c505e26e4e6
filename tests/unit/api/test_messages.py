"""Messages of every role, as clients write them, and what the chat template sees."""

import json

import pytest

from mlxd.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from mlxd.types import ChatMessage, ToolCall
from tests.support.chat_requests import USER, chat, job

CALL = {"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
RESULT = {"role": "tool", "tool_call_id": "call_a", "content": "22 °C"}
PARIS = ToolCall(id="call_a", name="get_weather", arguments='{"city":"Paris"}')


def seen(*messages, **fields):
    return job(chat(messages=list(messages), **fields)).prompt.messages


def calling(*calls, **fields):
    return {"role": "assistant", "tool_calls": list(calls)} | fields


@pytest.mark.parametrize("content", [{"content": None}, {}, {"content": ""}, {"content": []}], ids=["null", "absent", "empty", "no parts"])
def test_an_answer_of_calls_has_no_content(content):
    _, call, result = seen(USER, calling(CALL, **content), RESULT)
    assert call == ChatMessage(role="assistant", content="", tool_calls=[PARIS])
    assert result == ChatMessage(role="tool", content="22 °C", name="get_weather", tool_call_id="call_a")


def test_what_is_said_before_a_call_is_kept():
    assert seen(USER, calling(CALL, content="Let me see."), RESULT)[1].content == "Let me see."


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"city": "Malmö", "n": 1}, '{"city":"Malmö","n":1}'),
        ("", "{}"),
        ("  ", "{}"),
        (None, "{}"),
        ("{broken", "{broken"),  # a model wrote it, and it comes back as it was
    ],
)
def test_arguments_are_json_text(arguments, text):
    call = CALL | {"function": {"name": "f", "arguments": arguments}}
    assert seen(USER, calling(call), RESULT)[1].tool_calls[0].arguments == text


def test_a_call_without_arguments_at_all():
    assert seen(USER, calling({"function": {"name": "f"}}), RESULT)[1].tool_calls[0].arguments == "{}"


def test_calls_without_ids_are_paired_in_order():
    calls = [{"function": {"name": name}} for name in ("f", "g", "f")]
    results = [{"role": "tool", "content": text} for text in "abc"]
    _, made, *answered = seen(USER, calling(*calls), *results)
    assert [call.id for call in made.tool_calls] == [result.tool_call_id for result in answered] == ["call_1_0", "call_1_1", "call_1_2"]
    assert [result.name for result in answered] == ["f", "g", "f"]


def test_results_come_in_any_order():
    calls = [CALL | {"id": identity, "function": {"name": identity}} for identity in ("x", "y")]
    _, _, *results = seen(USER, calling(*calls), *({"role": "tool", "tool_call_id": one, "content": one} for one in ("y", "x")))
    assert [(result.name, result.tool_call_id) for result in results] == [("y", "y"), ("x", "x")]


def test_the_old_names_mean_the_same():
    _, made, result = seen(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "get_weather", "arguments": "{}"}},
        {"role": "function", "name": "get_weather", "content": "22"},
    )
    assert made.tool_calls == [ToolCall(id="call_1_0", name="get_weather", arguments="{}")]
    assert result == ChatMessage(role="tool", content="22", name="get_weather", tool_call_id="call_1_0")


def test_a_result_whose_call_is_cut_off_keeps_what_it_says():
    """Clients drop the beginning of long conversations."""
    [result, _] = seen(RESULT | {"name": "get_weather"}, USER)
    assert result == ChatMessage(role="tool", content="22 °C", name="get_weather", tool_call_id="call_a")


@pytest.mark.parametrize("content", [[{"type": "text", "text": "22"}, {"type": "text", "text": " °C"}], "22 °C"])
def test_a_result_may_be_text_or_parts(content):
    assert seen(USER, calling(CALL), RESULT | {"content": content})[2].content == "22 °C"


@pytest.mark.parametrize("content", [None, "", []])
def test_a_result_may_be_nothing(content):
    assert seen(USER, calling(CALL), RESULT | {"content": content})[2].content == ""


def test_several_instructions_one_of_them_last():
    roles = [message.role for message in seen({"role": "system", "content": "a"}, USER, {"role": "developer", "content": "b"})]
    assert roles == ["system", "user", "system"]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": "so"},
        {"reasoning": "so"},
        {"reasoning_content": "so", "reasoning": "so"},
        {"reasoning_content": "", "reasoning": "so"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "so", "signature": "x"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "s"}, {"type": "reasoning.summary", "summary": "o"}]},
        {"content": [{"type": "thinking", "thinking": "so", "signature": "x"}, {"type": "text", "text": "42"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}, {"type": "text", "text": "42"}]},
        {"content": [{"type": "reasoning", "text": "so"}, {"type": "text", "text": "42"}]},
    ],
)
def test_reasoning_comes_back_under_many_names(fields):
    answer = seen(USER, {"role": "assistant", "content": "42"} | fields, USER)[1]
    assert (answer.content, answer.reasoning) == ("42", "so")


@pytest.mark.parametrize(
    "fields", [{"reasoning_content": None}, {"reasoning": ""}, {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}]
)
def test_reasoning_that_nobody_knows(fields):
    assert seen(USER, {"role": "assistant", "content": "42"} | fields, USER)[1].reasoning is None


@pytest.mark.parametrize("fields", [{"refusal": "No."}, {"content": [{"type": "refusal", "refusal": "No."}]}])
def test_a_refusal_comes_back_as_what_was_said(fields):
    assert seen(USER, {"role": "assistant", "content": None} | fields, USER)[1].content == "No."


@pytest.mark.parametrize("name", ["prefix", "partial"])
def test_a_message_may_say_that_it_is_to_be_continued(name):
    assert job(chat(messages=[USER, {"role": "assistant", "content": "So", name: True}])).prompt.continue_final_message


TOLERATED = [
    calling(CALL | {"index": 0, "extra_content": {"google": {}}}, annotations=[], audio=None),
    calling(CALL | {"function": CALL["function"] | {"parsed_arguments": {"city": "Paris"}}}, parsed=None),
    calling(CALL, id="msg_1", provider_specific_fields={}, function_call=None),
    {"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
]


@pytest.mark.parametrize("message", TOLERATED, ids=[json.dumps(message)[:70] for message in TOLERATED])
def test_what_answers_carry_may_come_back(message):
    assert seen(USER, message, USER)


WRONG = [
    ([calling({"type": "custom", "function": {"name": "f"}})], "messages[0].tool_calls[0].type", UnsupportedParameterError),
    ([calling({"id": "x", "type": "function"})], "messages[0].tool_calls[0].function", InvalidRequestError),
    ([calling({"function": {"name": ""}})], "messages[0].tool_calls[0].function.name", InvalidRequestError),
    ([calling({"function": {"name": "f", "arguments": [1]}})], "messages[0].tool_calls[0].function.arguments", InvalidRequestError),
    ([calling({"id": 5, "function": {"name": "f"}})], "messages[0].tool_calls[0].id", InvalidRequestError),
    ([calling("f")], "messages[0].tool_calls[0]", InvalidRequestError),
    ([{"role": "assistant", "content": "", "tool_calls": {}}], "messages[0].tool_calls", InvalidRequestError),
    ([USER, RESULT | {"content": 5}], "messages[1].content", InvalidRequestError),
    ([USER, RESULT | {"content": [{"type": "image_url"}]}], "messages[1].content[0].image_url", InvalidRequestError),
    ([USER, RESULT | {"content": [{"type": "file"}]}], "messages[1].content[0].type", UnsupportedParameterError),
    ([USER | {"tool_calls": [CALL]}], "messages[0].tool_calls", UnsupportedParameterError),
    ([{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}], "messages[0].content[0].type", InvalidRequestError),
    ([USER, calling(CALL, nope=1), RESULT], "messages[1].nope", UnknownParameterError),
    ([USER, calling(CALL | {"nope": 1}), RESULT], "messages[1].tool_calls[0].nope", UnknownParameterError),
    ([{"role": None, "content": "x"}], "messages[0].role", InvalidRequestError),
    ([{"role": ["user"], "content": "x"}], "messages[0].role", InvalidRequestError),
]


@pytest.mark.parametrize(("messages", "param", "error"), WRONG, ids=[param for _, param, _ in WRONG])
def test_what_is_wrong_is_named(messages, param, error):
    with pytest.raises(InvalidRequestError) as caught:
        seen(*messages)
    assert (caught.value.param, type(caught.value)) == (param, error)


@pytest.mark.parametrize("last", [calling(CALL), RESULT])
def test_only_text_can_be_continued(last):
    with pytest.raises(InvalidRequestError, match="continue_final_message"):
        seen(USER, last, continue_final_message=True)
