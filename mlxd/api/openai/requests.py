"""What ``POST /v1/chat/completions`` and ``POST /v1/completions`` accept: from a JSON body to the wire's prompt and limits."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf

from mlxd.api.openai.fields import GenerationFields
from mlxd.api.openai.messages import Message, without_unsupported
from mlxd.api.openai.unsupported import CHAT, COMPLETIONS, STREAM_OPTIONS, Neutral, without_neutral
from mlxd.api.openai.validation import problem, validated
from mlxd.errors import InvalidRequestError
from mlxd.listener.body import json_type
from mlxd.wire.messages import ChatPrompt, Prompt, TextPrompt, TokenPrompt

_INT32 = 2**31 - 1


def _prompt(value: object) -> TextPrompt | TokenPrompt:
    """A string, token ids, or a list that holds one of these."""
    if value == [] or value == "":
        raise problem("must not be empty")
    if isinstance(value, str):
        return TextPrompt(text=value)
    if not isinstance(value, list):
        raise problem(f"must be a string or an array of token ids, not {json_type(value)}")
    if isinstance(value[0], str | list):
        if len(value) > 1:
            raise problem(f"may hold one prompt, not {len(value)}: several prompts in one request are not supported yet")
        return _prompt(value[0])
    for index, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= _INT32:
            raise problem("must be a token id: an integer, 0 or above", at=f"[{index}]")
    return TokenPrompt(token_ids=value)


class ChatRequest(GenerationFields):
    """The body of a chat completion."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=_INT32)] | None = None

    @property
    def prompt_to_wire(self) -> Prompt:
        """For the model's chat template."""
        return ChatPrompt(messages=[message.to_wire() for message in self.messages])

    @property
    def token_limit(self) -> int | None:
        """``max_tokens`` by either of its names; unset: up to the model's default."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(GenerationFields):
    """The body of a text completion."""

    prompt: Annotated[InstanceOf[TextPrompt] | InstanceOf[TokenPrompt], BeforeValidator(_prompt)]

    @property
    def prompt_to_wire(self) -> Prompt:
        """As it is."""
        return self.prompt

    @property
    def token_limit(self) -> int | None:
        """Unset: up to the model's default."""
        return self.max_tokens


def model_name(body: Mapping[str, Any]) -> str:
    """The model a body asks for: looked at before anything else, for an unknown one is a 404 whatever else is wrong."""
    name = body.get("model")
    if name is None:
        raise InvalidRequestError("model is required; GET /v1/models lists the names", param="model")
    if not isinstance(name, str):
        raise InvalidRequestError(f"model must be a string, not {json_type(name)}", param="model")
    return name


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    fields = _supported(body, CHAT)
    if "messages" in fields:
        fields["messages"] = without_unsupported(fields["messages"])
    request = validated(ChatRequest, fields, CHAT)
    if None not in (request.max_tokens, request.max_completion_tokens) and request.max_tokens != request.max_completion_tokens:
        raise InvalidRequestError(
            f"max_tokens ({request.max_tokens}) and max_completion_tokens ({request.max_completion_tokens}) differ; give one of them",
            param="max_completion_tokens",
        )
    _check_stream_options(request)
    return request


def completion_request(body: Mapping[str, Any]) -> CompletionRequest:
    """Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    request = validated(CompletionRequest, _supported(body, COMPLETIONS), COMPLETIONS)
    _check_stream_options(request)
    return request


def _check_stream_options(request: GenerationFields) -> None:
    if request.stream_options is not None and not request.stream:
        raise InvalidRequestError("stream_options needs stream = true", param="stream_options")


def _supported(body: Mapping[str, Any], known: Mapping[str, Neutral]) -> dict[str, Any]:
    fields = without_neutral(body, known)
    options = fields.get("stream_options")
    if isinstance(options, dict):
        fields["stream_options"] = without_neutral(options, STREAM_OPTIONS, "stream_options.")
    return fields
