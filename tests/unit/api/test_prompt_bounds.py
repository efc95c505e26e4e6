"""Prompts that no context of the model holds: refused by the daemon, in the words of every API, and never sent to the worker."""

import msgspec
import pytest

from mlxd.wire.prompt_bounds import PromptBounds
from mlxd.wire.prompts import ChatPrompt, TextPrompt, encoded_size
from tests.support.fake_registry import READY, echo
from tests.unit.api.conftest import HELLO

LONG = "x" * 1001
MESSAGES = [{"role": "user", "content": LONG}]
LONG_HISTORY = HELLO | {"messages": [*HELLO["messages"], {"role": "assistant", "content": LONG}, *HELLO["messages"]]}
WHOLE = {"model": "tiny", "max_tokens": 5, "messages": MESSAGES}


@pytest.fixture
def bounded(server):
    server.model.ready = msgspec.structs.replace(READY, bounds=PromptBounds(100, 1000))
    server.worker.script = echo
    return server


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/chat/completions", WHOLE, "1001 characters"),
        ("/v1/chat/completions", WHOLE | {"stream": True}, "1001 characters"),
        ("/v1/chat/completions", LONG_HISTORY, "1023 characters"),
        ("/v1/completions", {"model": "tiny", "prompt": LONG}, "1001 characters"),
        ("/v1/completions", {"model": "tiny", "prompt": [1] * 101}, "101 tokens"),
        ("/v1/messages", WHOLE, "1001 characters"),
        ("/v1/messages/count_tokens", WHOLE, "1001 characters"),
        ("/v1/responses", {"model": "tiny", "input": LONG}, "1001 characters"),
        ("/v1/responses/input_tokens", {"model": "tiny", "input": LONG}, "1001 characters"),
        ("/tokenize", {"model": "tiny", "prompt": LONG}, "1001 characters"),
        ("/tokenize", {"model": "tiny", "messages": MESSAGES}, "1001 characters"),
    ],
)
async def test_what_cannot_fit_is_never_sent(bounded, path, body, said):
    status, answer, _ = await bounded.answer(body, path)
    assert status == 400
    assert said in answer["error"]["message"]
    assert not bounded.worker.submitted
    assert not bounded.worker.tokenized


async def test_one_of_several_prompts_is_named(bounded):
    status, answer, _ = await bounded.answer({"model": "tiny", "prompt": ["a", LONG], "n": 2}, "/v1/completions")
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "context_length_exceeded", "prompt[1]")


@pytest.mark.parametrize("prompt", ["x" * 1000, [1] * 100])
async def test_what_may_fit_is_left_to_the_worker(bounded, prompt):
    status, _, _ = await bounded.answer({"model": "tiny", "prompt": prompt}, "/v1/completions")
    assert status == 200


async def test_volatile_lines_do_not_count(bounded):
    bounded.set_server(volatile_prefixes=("x-now:",))
    messages = [{"role": "system", "content": f"x-now: {LONG}\nBe brief."}, *HELLO["messages"]]
    for path in ("/v1/chat/completions", "/tokenize"):
        status, _, _ = await bounded.answer(HELLO | {"messages": messages}, path)
        assert status == 200


def test_the_size_of_a_prompt_is_about_that_of_its_frame():
    for prompt in (TextPrompt(text="é" * 1000), ChatPrompt(messages=[], tools=[{"type": "function", "function": {"name": "f" * 500}}])):
        assert abs(encoded_size(prompt) - len(msgspec.msgpack.encode(prompt))) < 20
