"""``POST /v1/chat/completions``: here a chat completion begins. What all endpoints share is in ``api/generate.py``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import Field
from typing_extensions import override

from mlxd.api.dialect import Dialect
from mlxd.api.fields.abilities import Need
from mlxd.api.fields.conversation import ConversationFields
from mlxd.api.fields.generation import read_request
from mlxd.api.fields.sampling import INT32, Whole, one_of
from mlxd.api.fields.tolerance import Rules
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.answers import early_failure
from mlxd.api.openai.chat_answers import ChatShape, ChatStyle
from mlxd.api.openai.fields import CompletionFields
from mlxd.api.openai.leniency import CHAT
from mlxd.api.openai.messages import AssistantMessage, Messages, conversation
from mlxd.api.openai.prediction import Prediction
from mlxd.api.openai.reasoning import ReasoningFields
from mlxd.api.openai.tools import ToolFields
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError
from mlxd.listener.errors import openai_error_body
from mlxd.types import Ability, ChatMessage
from mlxd.wire.output_spec import OutputSpec

_ONE_OF_BOTH = "the answer either continues the last message (continue_final_message) or follows it (add_generation_prompt), not both"
_LAST_IS_ANSWER = (
    "the last message is the assistant's: set continue_final_message to true to have it continued, or add_generation_prompt to true for an "
    "answer of its own after it"
)
_MOST_CANDIDATES = 20  # for a token, as OpenAI has it

_TokenLimit = Annotated[int, Whole, Field(ge=-1, le=INT32)]  # -1 and 0: no limit, as front ends mean them


class ChatRequest(ToolFields, ReasoningFields, CompletionFields, ConversationFields):
    """The body of a request for a chat completion."""

    tolerated: ClassVar[Rules] = CHAT

    messages: Messages
    max_tokens: _TokenLimit | None = None
    max_completion_tokens: _TokenLimit | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    logprobs: bool | None = None
    prediction: Prediction | None = None
    top_logprobs: Annotated[int, Whole, Field(ge=0, le=_MOST_CANDIDATES)] | None = None

    @override
    def conversation(self) -> list[ChatMessage]:
        return conversation(self.messages)

    @property
    @override
    def continues(self) -> bool:
        return bool(self.continue_final_message or (self._last_answer and self._last_answer.is_begun))

    @property
    @override
    def token_limit(self) -> int | None:
        """Returns ``max_tokens`` by either of its names; None where neither sets a limit."""
        limits = (self.max_completion_tokens, self.max_tokens)
        return next((limit for limit in limits if limit is not None and limit > 0), None)

    @override
    def needs(self) -> Iterator[Need]:
        yield from super().needs()
        if self.logprobs:
            yield Need(Ability.LOGPROBS, "logprobs")

    @override
    def output(self, model: ReadyModel) -> OutputSpec:
        logprobs = (self.top_logprobs or 0) if self.logprobs else None
        return msgspec.structs.replace(super().output(model), logprobs=logprobs, predicted=self.prediction.text if self.prediction else "")

    @override
    def check(self) -> None:
        self.check_stream_options()
        self.check_tools()
        self._check_last_message()
        self._check_constraints()
        one_of("max_tokens", self.max_tokens, "max_completion_tokens", self.max_completion_tokens)
        self.check_reasoning()
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs logprobs = true", param="top_logprobs")

    @property
    def _last_answer(self) -> AssistantMessage | None:
        last = self.messages[-1]
        return last if isinstance(last, AssistantMessage) else None

    def _check_last_message(self) -> None:
        where, last = f"messages[{len(self.messages) - 1}]", self._last_answer
        early = next((index for index, message in enumerate(self.messages[:-1]) if getattr(message, "is_begun", False)), None)
        if early is not None:
            raise InvalidRequestError(f"messages[{early}]: prefix is for the last message", param=f"messages[{early}].prefix")
        if self.continues:
            if last is None or last.calls:
                raise InvalidRequestError(
                    "continue_final_message needs an assistant message last, without calls", param="continue_final_message"
                )
            if self.add_generation_prompt:
                raise InvalidRequestError(_ONE_OF_BOTH, param="add_generation_prompt")
        elif self.add_generation_prompt is False:
            raise InvalidRequestError(
                "add_generation_prompt = false is supported together with continue_final_message = true only", param="add_generation_prompt"
            )
        elif last is not None and self.add_generation_prompt is None:
            raise InvalidRequestError(_LAST_IS_ANSWER, param=f"{where}.role")

    def _check_constraints(self) -> None:
        """Refuses an answer that must be a call and must be something else. ``response_format`` is about content, of which such an answer
        has none.
        """
        rules, asked = self.offered.rules(), self.constraint()
        if rules is not None and rules.required and asked is not None and not asked.field.startswith("response_format"):
            message = f"{asked.field} says what the answer must be, and tool_choice that it must be a call; give one of them"
            raise InvalidRequestError(message, param=asked.field)


def chat_request(body: Mapping[str, Any], unknown: UnknownFields) -> ChatRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    return read_request(ChatRequest, body, unknown)


def chat_shape(identity: str, model: ReadyModel, request: ChatRequest) -> ChatShape:
    """Returns the shape of the answer to the request."""
    style = ChatStyle(shows_reasoning=request.shows_reasoning, by_old_names=request.by_old_names)
    return ChatShape(identity, model, request.stream_usage, style, [*request.warnings, *request.unmet_wishes(model)])


CHAT_COMPLETIONS = Dialect(
    path="/v1/chat/completions",
    endpoint="chat_completions",
    answer_prefix="chatcmpl-",
    read=chat_request,
    shape=chat_shape,
    error=openai_error_body,
    early_failure=early_failure,
)
