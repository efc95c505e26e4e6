"""From turns and blocks to what a chat template sees."""

import pytest

from mlxd.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from tests.support.messages_requests import USER, job, read, said, shown

CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}


def text(value, **fields):
    return {"type": "text", "text": value} | fields


def result(content="ok", **fields):
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content} | fields


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("be brief", "be brief"),
        ([text("be"), text("brief", cache_control={"type": "ephemeral", "ttl": "1h"})], "be\n\nbrief"),
        ([text(""), text("brief")], "brief"),
    ],
)
def test_the_system_prompt_comes_first(system, content):
    assert said(system=system) == [("system", content), ("user", "hi")]


@pytest.mark.parametrize("system", [None, "", [], [text("")]])
def test_without_a_system_prompt_there_is_no_message(system):
    assert said(system=system) == [("user", "hi")]


def test_text_blocks_of_a_user_are_kept_apart():
    assert said(messages=[{"role": "user", "content": [text("a"), text("b")]}]) == [("user", "a\n\nb")]


def test_a_turn_of_tools_and_thinking():
    turns = [
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "xyz"},
                text("I look"),
                CALL,
                CALL | {"id": "toolu_2", "input": {}},
            ],
        },
        {"role": "user", "content": [text("go on"), result([text("one"), text("two")]), result("", tool_use_id="toolu_2")]},
    ]
    assert shown(messages=turns) == [
        ("user", "hi", None, [], None),
        ("assistant", "I look", "hm", [("1", "f", '{"a":1}'), ("2", "f", "{}")], None),
        ("tool", "one\n\ntwo", None, [], "1"),
        ("tool", "", None, [], "2"),
        ("user", "go on", None, [], None),
    ]


@pytest.mark.parametrize("content", [None, [], ""])
def test_a_result_may_be_nothing(content):
    assert said(messages=[USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [result(content)]}])[-1] == (
        "tool",
        "",
    )


def test_a_result_without_content_and_of_a_call_that_was_cut_off():
    turns = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_9"}]}]
    assert shown(messages=turns) == [("tool", "", None, [], "9")]


@pytest.mark.parametrize(
    ("content", "told"),
    [("no such file", "Error: no such file"), ("<tool_use_error>x</tool_use_error>",) * 2, ("Error: x",) * 2, ("", "Error")],
)
def test_a_failed_call_says_so(content, told):
    assert said(messages=[{"role": "user", "content": [result(content, is_error=True)]}]) == [("tool", told)]


def test_a_system_message_in_the_middle_stays_where_it_is():
    turns = [USER, {"role": "system", "content": [text("now briefly")]}, {"role": "assistant", "content": "hello"}, USER]
    assert [role for role, _ in said(messages=turns)] == ["user", "system", "assistant", "user"]


def test_an_answer_in_last_place_is_continued():
    prompt = job(messages=[USER, {"role": "assistant", "content": "The answer is ("}]).prompt
    assert prompt.continue_final_message
    assert prompt.messages[-1].content == "The answer is ("


@pytest.mark.parametrize("content", ["", [], [text("")], [{"type": "redacted_thinking", "data": "x"}]])
def test_an_empty_answer_in_last_place_is_none(content):
    prompt = job(messages=[USER, {"role": "assistant", "content": content}]).prompt
    assert not prompt.continue_final_message
    assert [message.role for message in prompt.messages] == ["user"]


def test_documents_and_search_results_are_text():
    blocks = [
        {"type": "document", "title": "A", "context": "old", "source": {"type": "text", "media_type": "text/plain", "data": "one"}},
        {"type": "document", "source": {"type": "content", "content": [text("two")]}, "citations": {"enabled": True}},
        {"type": "search_result", "source": "http://x", "title": "B", "content": [text("three")]},
    ]
    assert said(messages=[{"role": "user", "content": blocks}]) == [("user", "A\nold\none\n\ntwo\n\nB\nhttp://x\nthree")]
    assert said(messages=[{"role": "user", "content": [result([blocks[2], {"type": "tool_reference", "tool_name": "g"}])]}]) == [
        ("tool", "B\nhttp://x\nthree\n\ng")
    ]


def test_what_a_provider_carried_out_is_a_call_and_its_result():
    content = [
        text("I search"),
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "url": "http://x"}]},
        {"type": "mcp_tool_use", "id": "mcp_1", "name": "g", "server_name": "s", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "mcp_1", "is_error": False, "content": [text("found")]},
        text("done"),
    ]
    assert shown(messages=[USER, {"role": "assistant", "content": content}, USER])[1:-1] == [
        ("assistant", "I search", None, [("srvtoolu_1", "web_search", '{"query":"x"}')], None),
        ("tool", '[{"type":"web_search_result","url":"http://x"}]', None, [], "srvtoolu_1"),
        ("assistant", "", None, [("mcp_1", "g", "{}")], None),
        ("tool", "found", None, [], "mcp_1"),
        ("assistant", "done", None, [], None),
    ]


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "x"}}, "source.type"),
        ({"type": "container_upload", "file_id": "f"}, "type"),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}, "source.type"),
        (result([{"type": "image", "source": {"type": "file", "file_id": "x"}}]), "content[0].source.type"),
    ],
)
def test_what_is_not_there_yet_is_refused_by_name(block, field):
    with pytest.raises(UnsupportedParameterError) as refused:
        read(messages=[{"role": "user", "content": [text("a"), block]}])
    assert refused.value.param == f"messages[0].content[1].{field}"


@pytest.mark.parametrize(
    ("turns", "param"),
    [
        ([], "messages"),
        (["x"], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": 1}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"text": "x"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": 1}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [CALL]}], "messages[0].content[0].type"),
        ([{"role": "assistant", "content": [result()]}], "messages[0].content[0].type"),
        ([{"role": "assistant", "content": [CALL | {"input": "x"}]}], "messages[0].content[0].input"),
        ([{"role": "system", "content": [{"type": "image"}]}], "messages[0].content[0].type"),
    ],
)
def test_what_is_wrong_is_named(turns, param):
    with pytest.raises(InvalidRequestError) as refused:
        read(messages=turns)
    assert refused.value.param == param


NEW = {"type": "hologram", "data": "x"}


@pytest.mark.parametrize(
    ("turns", "where", "left"),
    [
        ([{"role": "user", "content": [text("a"), NEW]}], "messages[0].content[1]", [("user", "a")]),
        (
            [USER, {"role": "assistant", "content": [NEW, text("a")]}, USER],
            "messages[1].content[0]",
            [("user", "hi"), ("assistant", "a"), ("user", "hi")],
        ),
        ([{"role": "user", "content": [result([NEW])]}], "messages[0].content[0].content[0]", [("tool", "")]),
        ([{"role": "user", "content": [text("a", hue=1)]}], "messages[0].content[0].hue", [("user", "a")]),
    ],
)
def test_what_nobody_knows_is_refused_or_left_out(turns, where, left):
    with pytest.raises(UnknownParameterError) as refused:
        read(messages=turns)
    assert refused.value.param.removesuffix(".type") == where
    assert said(unknown="ignore", messages=turns) == left
    assert read("ignore", messages=turns).warnings == [f"the field {where} is unknown and was ignored"]


def test_a_whole_message_that_comes_back():
    answer = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "tiny", "content": [text("a", citations=None)],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    assert said(messages=[USER, answer, USER])[1] == ("assistant", "a")
