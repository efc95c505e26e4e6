"""``/tokenize`` and ``/detokenize``, as vLLM's clients ask and as llama.cpp's do."""

import pytest
from msgspec.structs import replace

from mlxd.errors import InvalidRequestError
from mlxd.wire.model_facts import EndToken, ModelFacts
from mlxd.wire.prompts import TextPrompt

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


async def tokens(server, path="/tokenize", **body):
    status, answer, _ = await server.answer(body, path)
    return status, answer


async def test_a_text_as_vllm_s_clients_ask(server):
    status, body = await tokens(server, model="tiny", prompt="Hi")
    assert (status, body) == (200, {"count": 2, "max_model_len": 2048, "tokens": [72, 105], "token_strs": None})
    status, body = await tokens(server, model="tiny", prompt="Hi", add_special_tokens=False, return_token_strs=True)
    assert body["token_strs"] == ["H", "i"]
    assert server.worker.tokenized == [TextPrompt(text="Hi"), TextPrompt(text="Hi", add_special_tokens=False)]


async def test_a_text_as_llama_cpp_s_clients_ask(server):
    status, body = await tokens(server, content="Hi", with_pieces=True)
    assert (status, body["tokens"]) == (200, [{"id": 72, "piece": "H"}, {"id": 105, "piece": "i"}])
    await tokens(server, content="Hi", add_special=True, parse_special=True)
    assert [prompt.add_special_tokens for prompt in server.worker.tokenized] == [False, True]


async def test_a_conversation_with_tools(server):
    status, body = await tokens(server, model="small", messages=HI, tools=[TOOL], chat_template_kwargs={"a": 1})
    assert (status, body["count"]) == (200, 2)
    [prompt] = server.worker.tokenized
    assert [tool["function"]["name"] for tool in prompt.tools] == ["look"]
    assert (prompt.variables, prompt.add_generation_prompt, prompt.continue_final_message) == ({"a": 1}, True, False)


async def test_a_request_for_an_answer_can_be_sent_as_it_is(server):
    status, _ = await tokens(server, model="tiny", messages=HI, max_tokens=5, temperature=0.5, stream=True, user="me")
    assert status == 200


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"add_generation_prompt": False}, (False, False)),
        ({"add_generation_prompt": True}, (True, False)),
        ({}, (True, False)),
        ({"continue_final_message": True, "add_generation_prompt": False}, (False, True)),
    ],
)
async def test_how_a_conversation_ends(server, fields, expected):
    messages = [*HI, {"role": "assistant", "content": "He"}]
    status, _ = await tokens(server, model="tiny", messages=messages, **fields)
    assert status == 200
    [prompt] = server.worker.tokenized
    assert (prompt.add_generation_prompt, prompt.continue_final_message) == expected


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "tiny"}, 400, "prompt"),
        ({"model": "tiny", "prompt": "a", "content": "b"}, 400, "prompt"),
        ({"model": "tiny", "prompt": 5}, 400, "prompt"),
        ({"model": "tiny", "prompt": "a", "nonsense": 1}, 400, "nonsense"),
        ({"model": "tiny", "content": "a", "parse_special": False}, 400, "parse_special"),
        ({"model": "tiny", "messages": []}, 400, "messages"),
        ({"model": "tiny", "messages": HI, "temperature": "hot"}, 400, "temperature"),
        ({"model": "tiny", "messages": [{"role": "nobody", "content": ""}]}, 400, "messages[0].role"),
        ({"model": "none", "prompt": "a"}, 404, "model"),
        ({"model": 5, "prompt": "a"}, 400, "model"),
    ],
)
async def test_refusals(server, body, status, param):
    found, answer = await tokens(server, **body)
    assert (found, answer["error"]["param"]) == (status, param)


async def test_where_there_are_several_models_one_must_be_named(server):
    server.registry.add("other")
    assert (await tokens(server, prompt="a"))[0] == 400
    assert (await tokens(server, "/detokenize", tokens=[72]))[0] == 400


async def test_the_text_of_tokens_by_both_names(server):
    assert await tokens(server, "/detokenize", tokens=[72, 105]) == (200, {"prompt": "Hi", "content": "Hi"})
    assert await tokens(server, "/detokenize", model="tiny", tokens=[]) == (200, {"prompt": "", "content": ""})
    assert (await tokens(server, "/detokenize", tokens=["a"]))[1]["error"]["param"] == "tokens[0]"
    assert (await tokens(server, "/detokenize", model="tiny"))[1]["error"]["param"] == "tokens"


async def test_what_harnesses_ask_of_a_tokenizer(server):
    end = EndToken(id=2, text="</s>", origins=[])
    server.model.ready = replace(server.model.ready, facts=ModelFacts(end_tokens=[end]))
    really_tokenize = server.worker.tokenize

    async def tokenize(prompt, *, with_pieces=False):
        found = await really_tokenize(prompt)
        return replace(found, tokens=[ord("^"), *found.tokens]) if prompt.add_special_tokens else found

    for expected in (None, "^"):
        async with server.session.get(server.url + "/tokenizer_info") as response:
            assert await response.json() == {"bos_token": expected, "eos_token": "</s>", "model_max_length": 2048}
        server.worker.tokenize = tokenize


async def test_what_the_worker_finds_wrong_is_told(server):
    async def refuse(token_ids):
        raise InvalidRequestError("token 5000 is outside the vocabulary", param="tokens")

    server.worker.detokenize = refuse
    status, body = await tokens(server, "/detokenize", tokens=[5000])
    assert (status, body["error"]["param"]) == (400, "tokens")
