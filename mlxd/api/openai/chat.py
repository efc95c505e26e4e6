"""``POST /v1/chat/completions``: here a chat completion begins. What all endpoints share is in ``api/generate.py``."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mlxd.api.dialect import Dialect
from mlxd.api.openai.answers import ChatShape
from mlxd.api.openai.fields import INT32, GenerationFields, supported
from mlxd.api.openai.messages import Message, without_unsupported
from mlxd.api.openai.unsupported import CHAT
from mlxd.api.openai.validation import validated, whole
from mlxd.errors import InvalidRequestError
from mlxd.listener.errors import openai_error_body
from mlxd.wire.prompts import ChatPrompt

_ONE_OF_BOTH = "the answer either continues the last message (continue_final_message) or follows it (add_generation_prompt), not both"
_LAST_IS_ANSWER = (
    "the last message is the assistant's: set continue_final_message to true to have it continued, or add_generation_prompt to true for an "
    "answer of its own after it"
)


class ChatRequest(GenerationFields):
    """The body of a request for a chat completion."""

    messages: Annotated[list[Message], Field(min_length=1)]
    # -1 and 0: no limit, as front ends mean them
    max_tokens: Annotated[int, BeforeValidator(whole), Field(ge=-1, le=INT32)] | None = None
    max_completion_tokens: Annotated[int, BeforeValidator(whole), Field(ge=-1, le=INT32)] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    @property
    def wire_prompt(self) -> ChatPrompt:
        """Returns the messages for the model's chat template."""
        return ChatPrompt(
            messages=[message.to_wire() for message in self.messages], continue_final_message=bool(self.continue_final_message)
        )

    @property
    def token_limit(self) -> int | None:
        """Returns ``max_tokens`` by either of its names; None where neither sets a limit."""
        limits = (self.max_completion_tokens, self.max_tokens)
        return next((limit for limit in limits if limit is not None and limit > 0), None)

    def check_last_message(self) -> None:
        """Raises ``InvalidRequestError`` where it is not clear whether the answer continues the last message or follows it."""
        is_answer = self.messages[-1].role == "assistant"
        if self.continue_final_message:
            if not is_answer:
                raise InvalidRequestError("continue_final_message needs an assistant message last", param="continue_final_message")
            if self.add_generation_prompt:
                raise InvalidRequestError(_ONE_OF_BOTH, param="add_generation_prompt")
        elif self.add_generation_prompt is False:
            raise InvalidRequestError(
                "add_generation_prompt = false is supported together with continue_final_message = true only", param="add_generation_prompt"
            )
        elif is_answer and self.add_generation_prompt is None:
            raise InvalidRequestError(_LAST_IS_ANSWER, param=f"messages[{len(self.messages) - 1}].role")


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    fields = supported(body, CHAT)
    if "messages" in fields:
        fields["messages"] = without_unsupported(fields["messages"])
    request = validated(ChatRequest, fields, CHAT)
    request.check_stream_options()
    request.check_last_message()
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
