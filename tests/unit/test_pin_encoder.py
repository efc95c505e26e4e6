"""What of a prompt stays is what all prompts that begin with the text have in common."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mlxd.cache_terms import PinnedPrompt
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt, TextPrompt
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.pin_encoder import PinEncoder
from mlxd.worker.pins import Pins
from mlxd.worker.text.prompt import PromptEncoder
from tests.support.prompt_tokenizer import PromptTokenizer
from tests.support.tiny_model import CHAT_TEMPLATE
from tests.unit.worker_text.test_prompt_encoder import encoder

TEXT = "You help."


def order(pin, prompts=None):
    (found,) = PinEncoder(prompts or encoder()).orders([pin])
    return found


def chat(question, **options):
    messages = [ChatMessage(role="system", content=TEXT), ChatMessage(role="user", content=question)]
    return ChatPrompt(messages=messages, **options)


def test_a_system_message_stays_up_to_where_a_user_speaks():
    prompts = encoder()
    found = order(PinnedPrompt(name="p", text=TEXT), prompts)
    assert found.root == prompts.root
    for question in ("Hello", "  spaces", "\n\nlines", "é", "123"):
        tokens = prompts.encode(chat(question), 0).tokens
        assert tuple(tokens[: len(found.tokens)]) == found.tokens
    assert len(found.tokens) > len(TEXT)


def test_a_text_stays_as_it_is():
    prompts = encoder()
    found = order(PinnedPrompt(name="p", text=TEXT, form="text"), prompts)
    assert tuple(prompts.encode(TextPrompt(text=TEXT + " Go on."), 0).tokens[: len(found.tokens)]) == found.tokens
    assert len(found.tokens) >= len(TEXT)


def test_what_cannot_be_encoded_says_why():
    assert 'use form = "text"' in order(PinnedPrompt(name="p", text=TEXT), encoder(template=None)).refusal
    assert "context" in order(PinnedPrompt(name="p", text="x" * 200)).refusal


def test_a_template_that_refuses_system_messages_is_told():
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system message') }}{% endif %}" + CHAT_TEMPLATE
    found = order(PinnedPrompt(name="p", text=TEXT), encoder(template=template))
    assert found.refusal or found.tokens


def test_a_tokenizer_that_fails_costs_only_this_one(caplog):
    class Broken(PromptTokenizer):
        def encode(self, *_, **__):
            raise RuntimeError("broken")

    prompts = PromptEncoder(Broken(), None, vocab_size=300, context_length=100, root=CacheRoot(model="m"))
    assert "RuntimeError: broken" in order(PinnedPrompt(name="p", text=TEXT, form="text"), prompts).refusal
    assert "could not be tokenized" in caplog.text


async def test_sets_of_pins_come_in_the_order_in_which_they_were_asked_for():
    with ThreadPoolExecutor(max_workers=1) as thread:
        pins, told = Pins(PinEncoder(encoder()).orders, thread), []
        first, second = ((PinnedPrompt(name=name, text=TEXT, form="text"),) for name in ("first", "second"))
        pins.begin(first)
        pins.encode(first, lambda orders: told.append([one.name for one in orders]))
        assert told == [["first"]], "what is known is told at once"
        done = asyncio.Event()
        pins.encode(second, lambda orders: told.append([one.name for one in orders]))
        pins.encode(first, lambda orders: (told.append([one.name for one in orders]), done.set()))
        assert len(told) == 1
        await done.wait()
    assert told == [["first"], ["second"], ["first"]]
