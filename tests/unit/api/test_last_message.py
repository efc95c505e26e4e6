"""An assistant's message in last place: continued, or answered after, never in silence."""

import pytest

from mlxd.config.model_tables import InputTable
from tests.support.fake_registry import echo

ASKED = {"role": "user", "content": "What is the capital of France?"}
BEGUN = {"role": "assistant", "content": "The answer is"}


def chat(*messages, **fields):
    return {"model": "tiny", "messages": list(messages)} | fields


async def prompt_of(server, body):
    server.worker.script = echo
    status, answer, _ = await server.answer(body)
    assert status == 200, answer
    return server.worker.submitted[-1].generate.prompt


@pytest.mark.parametrize("fields", [{}, {"continue_final_message": False}, {"continue_final_message": None, "add_generation_prompt": None}])
async def test_it_is_refused_with_both_ways_out(server, fields):
    status, body, _ = await server.answer(chat(ASKED, BEGUN, **fields))
    assert (status, body["error"]["param"]) == (400, "messages[1].role")
    assert "continue_final_message" in body["error"]["message"]
    assert "add_generation_prompt" in body["error"]["message"]
    assert server.worker.submitted == []


@pytest.mark.parametrize("more", [{}, {"add_generation_prompt": False}])
async def test_continue_final_message_continues_it(server, more):
    prompt = await prompt_of(server, chat(ASKED, BEGUN, continue_final_message=True, **more))
    assert prompt.continue_final_message
    assert prompt.messages[-1].content == "The answer is"


async def test_add_generation_prompt_answers_after_it(server):
    prompt = await prompt_of(server, chat(ASKED, BEGUN, add_generation_prompt=True))
    assert not prompt.continue_final_message


@pytest.mark.parametrize("fields", [{"add_generation_prompt": True}, {"continue_final_message": False}, {"add_generation_prompt": None}])
async def test_where_a_user_s_is_last_there_is_nothing_to_say(server, fields):
    assert not (await prompt_of(server, chat(ASKED, **fields))).continue_final_message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (chat(ASKED, continue_final_message=True), "continue_final_message"),
        (chat(ASKED, BEGUN, continue_final_message=True, add_generation_prompt=True), "add_generation_prompt"),
        (chat(ASKED, add_generation_prompt=False), "add_generation_prompt"),
        (chat(ASKED, BEGUN, add_generation_prompt=False), "add_generation_prompt"),
        (chat(ASKED, BEGUN, continue_final_message=1), "continue_final_message"),
    ],
)
async def test_what_contradicts_itself_is_refused(server, body, param):
    status, answer, _ = await server.answer(body)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_input_special_tokens_counts_from_the_next_request_on(server):
    assert not (await prompt_of(server, chat(ASKED))).special_tokens
    server.model.config = server.model.config.model_copy(update={"input": InputTable(special_tokens=True)})
    assert (await prompt_of(server, chat(ASKED))).special_tokens
