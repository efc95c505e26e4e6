"""The items of a conversation, as the chat template gets them."""

import pytest

from mlxd.api.fields.opaque import opened, sealed
from mlxd.types import ChatMessage, ToolCall
from tests.unit.api.responses.asking import answer, custom, function, job, refused

ASKED = ChatMessage(role="user", content="hello there")


def conversation(*items, **fields):
    """Returns the messages that items become."""
    return job(input=list(items), **fields).prompt.messages


def call(name="f", arguments="{}", **fields):
    return {"type": "function_call", "call_id": "call_a", "name": name, "arguments": arguments} | fields


def result(output="1", **fields):
    return {"type": "function_call_output", "call_id": "call_a", "output": output} | fields


def called(name="f", arguments="{}", identity="call_a"):
    return [ToolCall(id=identity, name=name, arguments=arguments)]


def test_a_text_and_its_instructions():
    assert job().prompt.messages == [ASKED]
    assert job(instructions="Be brief.").prompt.messages == [ChatMessage(role="system", content="Be brief."), ASKED]
    assert job(instructions="").prompt.messages == job(instructions=None).prompt.messages == [ASKED]


@pytest.mark.parametrize(
    ("item", "role", "content"),
    [
        ({"role": "user", "content": "a"}, "user", "a"),
        ({"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "a"}]}, "system", "a"),
        ({"role": "system", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]}, "system", "ab"),
        ({"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": None}]}, "assistant", "a"),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, "assistant", "no"),
        ({"role": "assistant", "content": "a", "id": "msg_1", "status": "completed", "phase": "final_answer"}, "assistant", "a"),
        ({"type": "message", "role": "user", "content": [], "internal_chat_message_metadata_passthrough": {"x": 1}}, "user", ""),
    ],
)
def test_messages(item, role, content):
    assert conversation(item) == [ChatMessage(role=role, content=content)]


def test_what_a_model_thought_said_and_called_is_one_turn():
    told = conversation(
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "So."}]},
        call(),
        call("g", '{"a": 1}', call_id="call_b", id="fc_2", status="completed"),
        result("1"),
        result([{"type": "input_text", "text": "2"}, {"type": "output_text", "text": "3"}], call_id="call_b"),
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "b"},
    )
    both = [*called(), *called("g", '{"a": 1}', "call_b")]
    assert told == [
        ChatMessage(role="user", content="a"),
        ChatMessage(role="assistant", content="So.", reasoning="hm", tool_calls=both),
        ChatMessage(role="tool", content="1", name="f", tool_call_id="call_a"),
        ChatMessage(role="tool", content="23", name="g", tool_call_id="call_b"),
        ChatMessage(role="assistant", content="Done."),
        ChatMessage(role="user", content="b"),
    ]


def test_two_answers_in_a_row_are_two_turns_and_words_around_a_call_are_one():
    said = [{"role": "assistant", "content": text} for text in ("a", "b")]
    assert [message.content for message in conversation(*said)] == ["a", "b"]
    [turn, *_] = conversation(said[0], call(), said[1], result())
    assert (turn.content, turn.tool_calls) == ("a\n\nb", called())
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    assert [(one.reasoning, one.content) for one in conversation(thought, said[0], thought, said[1])] == [("hm", "a"), ("hm", "b")]


@pytest.mark.parametrize(
    ("fields", "thought"),
    [
        ({"summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]}, "a\n\nb"),
        ({"summary": [{"type": "summary_text", "text": "a"}], "content": [{"type": "reasoning_text", "text": "b"}]}, "b"),
        ({"summary": [{"type": "summary_text", "text": "a"}], "content": None, "encrypted_content": sealed("c\n")}, "c\n"),
        ({"summary": [{"type": "summary_text", "text": "a"}], "encrypted_content": "gAAAAABotherservers"}, "a"),
        ({"summary": [], "encrypted_content": None, "status": None, "id": ""}, None),
    ],
)
def test_reasoning_comes_back_sealed_or_as_it_is(fields, thought):
    told = conversation({"type": "reasoning", **fields}, {"role": "assistant", "content": "x"})
    assert told == [ChatMessage(role="assistant", content="x", reasoning=thought)]


@pytest.mark.parametrize("text", ["", "hm", "é😀\n\u2028"])
def test_a_seal_is_opened_by_who_made_it(text):
    assert opened(sealed(text)) == text
    for damaged in (sealed(text)[:-1] + "*", "mlxd1.!!", "mlxd1._w==", "mlxd2.aa", "", None):
        assert opened(damaged) is None


def test_calls_of_custom_tools_and_of_those_in_a_namespace_have_the_model_s_names():
    tools = [custom("patch"), {"type": "namespace", "name": "ns", "tools": [function("f"), custom("patch")]}]
    told = conversation(
        {"type": "custom_tool_call", "call_id": "call_a", "name": "patch", "input": 'a"\n', "id": "ctc_1"},
        call("f", namespace="ns", call_id="call_b"),
        {"type": "custom_tool_call", "call_id": "call_c", "name": "patch", "input": "", "namespace": "ns"},
        call("gone", namespace="ns", call_id="call_d"),
        {"type": "custom_tool_call_output", "call_id": "call_a", "output": "ok"},
        tools=tools,
    )
    assert [(one.name, one.arguments) for one in told[0].tool_calls] == [
        ("patch", '{"input":"a\\"\\n"}'),
        ("ns__f", "{}"),
        ("ns__patch", '{"input":""}'),
        ("ns__gone", "{}"),
    ]
    assert told[1] == ChatMessage(role="tool", content="ok", name="patch", tool_call_id="call_a")


def test_calls_that_a_client_carries_out_are_told_as_functions():
    told = conversation(
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "call_a",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls"]},
        },
        {"type": "local_shell_call_output", "id": "call_a", "output": "a.txt"},
        {"type": "shell_call", "call_id": "call_b", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "call_b", "output": [{"stdout": "b.txt", "stderr": ""}]},
        {"type": "apply_patch_call", "call_id": "call_c", "status": "completed", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "call_c", "status": "failed"},
    )
    assert [(one.tool_calls[0].name, one.tool_calls[0].arguments) for one in told[::2]] == [
        ("local_shell", '{"type":"exec","command":["ls"]}'),
        ("shell", '{"commands":["ls"]}'),
        ("apply_patch", '{"type":"delete_file","path":"a"}'),
    ]
    assert [(one.name, one.content, one.tool_call_id) for one in told[1::2]] == [
        ("local_shell", "a.txt", "call_a"),
        ("shell", '[{"stdout":"b.txt","stderr":""}]', "call_b"),
        ("apply_patch", "failed", "call_c"),
    ]


def test_a_result_without_its_call_is_told_all_the_same():
    assert conversation(result("1")) == [ChatMessage(role="tool", content="1", tool_call_id="call_a")]
    assert conversation(call(call_id=None), result(None, call_id=None))[1].tool_call_id == "call_0_0"


@pytest.mark.parametrize("arguments", ["", None, "{}", {}])
def test_arguments_of_nothing_are_an_empty_object(arguments):
    assert conversation(call(arguments=arguments))[0].tool_calls == called()


async def test_the_work_of_hosted_tools_is_left_out_and_told(server):
    server.worker.script = lambda request: (request.started(), request.finish("x", 1))
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "a"}}
    body = await answer(server, input=[{"role": "user", "content": "a"}, searched, {"type": "compaction", "encrypted_content": "x"}])
    assert body["warnings"] == [
        "input[1]: an item of the type web_search_call was left out",
        "input[2]: an item of the type compaction was left out",
    ]
    assert server.worker.submitted[0].generate.prompt.messages == [ChatMessage(role="user", content="a")]


async def test_items_of_no_known_type_are_unknown_fields(server):
    server.worker.script = lambda request: (request.started(), request.finish("x", 1))
    items = [{"role": "user", "content": "a"}, {"type": "next_month", "what": 1}]
    param, message = await refused(server, input=items)
    assert param == "input[1].type"
    assert "next_month" in message
    server.set_server(unknown_fields="ignore")
    assert (await answer(server, input=items))["warnings"] == ["the field input[1] is unknown and was ignored"]


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (None, "input"),
        ([], "input"),
        (7, "input"),
        ({"role": "user"}, "input"),
        (["a"], "input[0]"),
        ([{"role": "tool", "content": "a"}], "input[0].role"),
        ([{"role": "user", "content": 7}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_text", "text": None}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}], "input[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "input_file", "file_id": "a"}]}], "input[0].content[0].type"),
        ([{"type": "function_call", "name": "", "arguments": "{}"}], "input[0].name"),
        ([{"type": "function_call", "arguments": "{}"}], "input[0].name"),
        ([{"type": "function_call", "name": "f", "arguments": [1]}], "input[0].arguments"),
        ([{"type": "function_call_output", "output": 7}], "input[0].output"),
        ([{"type": "item_reference", "id": "msg_1"}], "input[0].type"),
        ([{"id": "msg_1"}], "input[0].id"),
        ([{"type": 7}], "input[0].type"),
        ([{"type": "compaction_trigger"}], "input[0].type"),
        ([{"type": "local_shell_call", "action": {"a": 10**400}}], "input[0].action"),
        ([{"type": "shell_call_output", "output": [10**400]}], "input[0].output"),
        ([{"type": "web_search_call"}], "input"),
        ([{"type": "reasoning", "summary": []}], "input"),
    ],
)
async def test_what_is_wrong_has_a_name(server, sent, param):
    assert (await refused(server, input=sent))[0] == param
