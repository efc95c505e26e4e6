"""What a request generates from."""

from typing import Any

import msgspec

from mlxd.types import ChatMessage


class _Prompt(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A prompt, tagged by its class name."""


class ChatPrompt(_Prompt, frozen=True, kw_only=True):
    """Messages that the model's chat template is to render."""

    messages: list[ChatMessage]
    tools: list[dict[str, Any]] = []  # as OpenAI writes them: {"type": "function", "function": {...}}
    variables: dict[str, Any] = {}  # for the template, from the client
    reasoning_effort: str | None = None
    continue_final_message: bool = False  # the answer goes on where the last message ends, instead of being the next one
    add_generation_prompt: bool = True  # the template opens the answer, unless it goes on with the last message
    special_tokens: bool = False  # the spelling of a control token in a message is that token, not text


class TextPrompt(_Prompt, frozen=True, kw_only=True):
    """A text that is to be tokenized as it is."""

    text: str
    add_special_tokens: bool = True  # the tokenizer's own, such as the one that begins a sequence


class TokenPrompt(_Prompt, frozen=True, kw_only=True):
    """Token ids, checked against the vocabulary by the worker."""

    token_ids: list[int]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


def encoded_size(prompt: Prompt) -> int:
    """Returns how many bytes of a frame the prompt takes, about.

    It is encoded in parts, between which other threads have their turn. A text's UTF-8 form is kept with it: to encode the prompt once more
    takes a fraction of the time.
    """
    if not isinstance(prompt, ChatPrompt):
        return len(msgspec.msgpack.encode(prompt))
    parts = (*prompt.messages, *prompt.tools, msgspec.structs.replace(prompt, messages=[], tools=[]))
    return sum(len(msgspec.msgpack.encode(part)) for part in parts)
