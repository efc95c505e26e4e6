"""Questions about tokens to a worker with a model."""

import pytest
import pytest_asyncio

from mlxd.types import ChatMessage
from mlxd.wire.events import Finished
from mlxd.wire.messages import Detokenize, Detokenized, Tokenize, Tokenized, Unreadable
from mlxd.wire.prompts import ChatPrompt, TextPrompt, TokenPrompt
from tests.support.tiny_model import BOS, EOS, IM_START, VOCAB
from tests.worker.requests.shared_worker import loaded

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _link(tiny):
    async with loaded(tiny, "simple") as link:
        yield link


@pytest.fixture
def link(_link):
    _link.forget()
    return _link


async def answer(link, question):
    """Sends a question, and returns what answers it."""
    link.send(question)
    kinds = (Tokenized, Detokenized, Unreadable)

    def found():
        return [message for kind in kinds for message in link.of(kind) if message.id == question.id]

    await link.until(found)
    (only,) = found()
    return only


def chat(**changes):
    return ChatPrompt(messages=[ChatMessage(role="user", content="é<|im_end|>")], **changes)


async def test_a_chat_is_tokenized_as_a_request_would_be(link):
    told = await answer(link, Tokenize(id="q", prompt=chat(), with_pieces=True))
    controls = [IM_START, EOS, IM_START]
    assert [token for token in told.tokens if token >= BOS] == controls
    assert told.pieces[0] == "<|im_start|>"
    assert told.pieces[6:8] == ["\ufffd", "\ufffd"]  # the two halves of é
    finished = await link.ask("r", chat())
    assert isinstance(finished, Finished)
    assert finished.usage.prompt_tokens == len(told.tokens)


async def test_without_the_opening_of_an_answer(link):
    whole = await answer(link, Tokenize(id="a", prompt=chat()))
    without = await answer(link, Tokenize(id="b", prompt=chat(add_generation_prompt=False)))
    assert whole.tokens[: len(without.tokens)] == without.tokens
    assert without.tokens[-2] == EOS


async def test_a_text_with_and_without_the_tokenizer_s_own_tokens(link):
    assert (await answer(link, Tokenize(id="a", prompt=TextPrompt(text="ab", add_special_tokens=False)))).tokens == [97, 98]


async def test_a_prompt_may_be_empty_or_beyond_the_context(link):
    assert (await answer(link, Tokenize(id="a", prompt=TextPrompt(text="")))).tokens == []
    assert len((await answer(link, Tokenize(id="b", prompt=TokenPrompt(token_ids=[1] * 9999)))).tokens) == 9999


async def test_a_prompt_that_cannot_be_rendered(link):
    refused = await answer(link, Tokenize(id="q", prompt=ChatPrompt(messages=[ChatMessage(role="user", content="b", name="nobody")])))
    assert (refused.error.code, refused.error.param) == ("invalid_request", "messages")


async def test_tokens_say_what_the_prompt_said(link):
    told = await answer(link, Tokenize(id="a", prompt=chat()))
    text = (await answer(link, Detokenize(id="b", token_ids=told.tokens))).text
    assert text == "<|im_start|>user\né<|im_end|><|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("token", [-1, VOCAB])
async def test_what_is_no_token_is_named(link, token):
    refused = await answer(link, Detokenize(id="q", token_ids=[5, token]))
    assert (refused.error.code, refused.error.param) == ("invalid_request", "tokens")
    assert f"token {token} at position 1" in refused.error.message
