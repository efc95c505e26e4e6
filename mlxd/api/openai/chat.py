"""``POST /v1/chat/completions``: here a chat completion begins. What all endpoints share is in ``api/generate.py``."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mlxd.api.dialect import Dialect
from mlxd.api.openai.answers import ChatShape
from mlxd.api.openai.fields import INT32, GenerationFields, supported
from mlxd.api.openai.messages import Message, check_last, without_unsupported
from mlxd.api.openai.unsupported import CHAT
from mlxd.api.openai.validation import validated, whole
from mlxd.errors import InvalidRequestError
from mlxd.listener.errors import openai_error_body
from mlxd.wire.messages import ChatPrompt


class ChatRequest(GenerationFields):
    """The body."""

    messages: Annotated[list[Message], Field(min_length=1)]
    # -1 and 0: no limit, as front ends mean them
    max_tokens: Annotated[int, BeforeValidator(whole), Field(ge=-1, le=INT32)] | None = None
    max_completion_tokens: Annotated[int, BeforeValidator(whole), Field(ge=-1, le=INT32)] | None = None

    @property
    def wire_prompt(self) -> ChatPrompt:
        """For the model's chat template."""
        return ChatPrompt(messages=[message.to_wire() for message in self.messages])

    @property
    def token_limit(self) -> int | None:
        """``max_tokens`` by either of its names."""
        limits = (self.max_completion_tokens, self.max_tokens)
        return next((limit for limit in limits if limit is not None and limit > 0), None)


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    fields = supported(body, CHAT)
    if "messages" in fields:
        fields["messages"] = without_unsupported(fields["messages"])
    request = validated(ChatRequest, fields, CHAT)
    request.check_stream_options()
    check_last(request.messages)
    old, new = request.max_tokens, request.max_completion_tokens
    if old is not None and new is not None and old != new:
        message = f"max_tokens ({old}) and max_completion_tokens ({new}) differ; give one of them"
        raise InvalidRequestError(message, param="max_completion_tokens")
    return request


CHAT_COMPLETIONS = Dialect(
    path="/v1/chat/completions",
    endpoint="chat_completions",
    answer_prefix="chatcmpl",
    read=chat_request,
    shape=lambda identity, model, request: ChatShape(identity, model, with_usage=request.wants_usage),
    error=openai_error_body,
)
