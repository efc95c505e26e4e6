"""``POST /tokenize`` and ``/detokenize``: a prompt's tokens, and the text of tokens, in the words of vLLM and of llama.cpp; and
``GET /tokenizer_info``, as vLLM has it.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from pydantic import Field

from mlxd.api.bodies import read_json_body
from mlxd.api.counting import as_sent
from mlxd.api.deadline import Deadline
from mlxd.api.fields.validation import Strict, validated
from mlxd.api.keys import CONFIG, MODEL, ReadyModel
from mlxd.api.media.gallery import GALLERY
from mlxd.api.openai.chat import chat_request
from mlxd.api.openai.stopping import TokenId
from mlxd.api.permitted_models import models_of
from mlxd.config.schema import ServerTable
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError
from mlxd.listener.body import aside
from mlxd.wire.messages import Tokenized
from mlxd.wire.prompts import ChatPrompt, TextPrompt

_ONE_OF = "needs one of prompt, content and messages"
_MOST_TOKENS = 1_048_576
_A_WORD = "a"


class TextTokens(Strict):
    """A text whose tokens are asked for: vLLM's ``prompt``, which gets the tokenizer's own tokens unless it is told otherwise, or
    llama.cpp's ``content``, which gets them on demand only.
    """

    model: str | None = None
    prompt: str | None = None
    content: str | None = None
    add_special_tokens: bool | None = None
    add_special: bool | None = None
    parse_special: Literal[True] | None = None  # the spelling of a control token is that token, as in every text completion
    return_token_strs: bool | None = None
    with_pieces: bool | None = None

    def wire_prompt(self) -> TextPrompt:
        """Returns the text. Raises ``InvalidRequestError`` unless there is one."""
        if (self.prompt is None) == (self.content is None):
            raise InvalidRequestError(f"the request {_ONE_OF}", param="prompt")
        if self.prompt is not None:
            return TextPrompt(text=self.prompt, add_special_tokens=self.add_special_tokens is not False)
        return TextPrompt(text=self.content or "", add_special_tokens=bool(self.add_special))


class Told(Strict):
    """How tokens are told: with ``with_pieces`` each as an object, with ``return_token_strs`` their texts in a list of their own."""

    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None
    with_pieces: bool | None = None


class IdsOfText(Strict):
    """Tokens whose text is asked for."""

    model: str | None = None
    tokens: Annotated[list[TokenId], Field(max_length=_MOST_TOKENS)]


@dataclass(frozen=True)
class Question:
    """What is asked of a model's tokenizer."""

    prompt: TextPrompt | ChatPrompt
    told: Told | TextTokens

    def answer(self, found: Tokenized, model: ReadyModel) -> dict[str, Any]:
        """Returns the body of the answer."""
        tokens: Sequence[Any] = found.tokens
        if self.told.with_pieces:
            tokens = [{"id": token, "piece": piece} for token, piece in zip(found.tokens, found.pieces, strict=True)]
        texts = found.pieces if self.told.return_token_strs else None
        return {"count": len(tokens), "max_model_len": model.ready.context_length, "tokens": tokens, "token_strs": texts}


def question(body: Mapping[str, Any], model: ReadyModel, unknown: UnknownFields) -> Question:
    """Reads what is asked. A chat may have every field that a request for its answer has, so that the same body can be sent before it.
    Raises ``InvalidRequestError`` naming the field that is wrong or unknown.
    """
    if "messages" not in body:
        asked = validated(TextTokens, body)
        return Question(asked.wire_prompt(), asked)
    told = validated(Told, {name: body[name] for name in Told.model_fields if name in body})
    chat = {name: value for name, value in body.items() if name not in Told.model_fields} | {"model": model.name}
    request = chat_request(chat if _continues(chat) else chat | {"add_generation_prompt": True}, unknown)
    [prompt] = request.prompts(model)
    return Question(msgspec.structs.replace(prompt, add_generation_prompt=told.add_generation_prompt is not False), told)


def _continues(chat: Mapping[str, Any]) -> bool:
    """Tells whether the chat says that its last message goes on; what is wrong with its messages is said later."""
    messages = chat.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return bool(chat.get("continue_final_message") or (isinstance(last, dict) and last.get("prefix")))


async def tokenize(request: web.Request) -> web.Response:
    """Answers with the tokens of a text, or of a conversation as the model's chat template renders it. Raises ``InvalidRequestError`` for
    what is wrong with it, and ``UnavailableError`` of every kind.
    """
    async with Deadline(request.app[CONFIG]().server.request_timeout).guard():
        body, server = await read_json_body(request), request.app[CONFIG]().server
        async with _model(request, body.document) as model:
            asked = await aside(body.size, _sendable, body.document, model, server)
            with_pieces = bool(asked.told.with_pieces or asked.told.return_token_strs)
            async with request.app[GALLERY].shown(asked.prompt, server.media) as prompt:
                found = await model.client.tokenize(prompt, with_pieces=with_pieces)
        answer = await aside(body.size, lambda: msgspec.json.encode(asked.answer(found, model)))
        return web.Response(body=answer, content_type="application/json")


def _sendable(body: Mapping[str, Any], model: ReadyModel, server: ServerTable) -> Question:
    asked = question(body, model, server.unknown_fields)
    return replace(asked, prompt=as_sent(asked.prompt, model, server.volatile_prefixes))


async def detokenize(request: web.Request) -> web.Response:
    """Answers with the text of tokens, control tokens as they are spelled. Raises as ``tokenize``."""
    async with Deadline(request.app[CONFIG]().server.request_timeout).guard():
        body = await read_json_body(request)
        asked = await aside(body.size, validated, IdsOfText, body.document)
        async with _model(request, body.document) as model:
            text = await model.client.detokenize(asked.tokens)
        return web.json_response({"prompt": text, "content": text})


async def tokenizer_info(request: web.Request) -> web.Response:
    """Answers with the tokens that begin and end texts, which harnesses ask for that score texts without a tokenizer of their own. Raises
    as ``tokenize``.
    """
    async with Deadline(request.app[CONFIG]().server.request_timeout).guard():
        async with _model(request, request.query) as model:
            first = await _first_token(model)
        ends = model.ready.facts.end_tokens
        return web.json_response(
            {"bos_token": first, "eos_token": ends[0].text if ends else None, "model_max_length": model.ready.context_length}
        )


async def _first_token(model: ReadyModel) -> str | None:
    """Returns the token that the tokenizer puts before every text, if it does."""
    text = await model.client.tokenize(TextPrompt(text=_A_WORD, add_special_tokens=False))
    framed = await model.client.tokenize(TextPrompt(text=_A_WORD))
    return await model.client.detokenize(framed.tokens[:1]) if framed.tokens[:1] != text.tokens[:1] else None


def _model(request: web.Request, body: Mapping[str, Any]) -> AbstractAsyncContextManager[ReadyModel]:
    """Holds the model that is named; where none is, the only one there is, for llama.cpp's clients name none."""
    models, name = models_of(request), body.get("model")
    if name is None:
        name = models.only_one()
    if not isinstance(name, str):
        raise InvalidRequestError("model is required, and a string; GET /v1/models lists the names", param="model")
    asked = models.resolve(name)
    request[MODEL] = asked.model
    return models.hold(asked)
