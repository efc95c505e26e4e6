"""``POST /v1/messages``: here a message begins. What all endpoints share is in ``api/generate.py``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import BeforeValidator, Field
from typing_extensions import override

from mlxd.api.anthropic.answers import PING, MessageShape, MessageStyle, failed
from mlxd.api.anthropic.blocks import Texts, changes_of, references_of, texts
from mlxd.api.anthropic.errors import ROOT, anthropic_error_body
from mlxd.api.anthropic.leniency import MESSAGES as TOLERATED
from mlxd.api.anthropic.thinking import OFF, AnswerFields
from mlxd.api.anthropic.tool_changes import changed, definitions
from mlxd.api.anthropic.tools import ToolFields
from mlxd.api.anthropic.turns import AssistantTurn, Turns, conversation, latest_effort
from mlxd.api.dialect import Dialect
from mlxd.api.fields.abilities import Need, can
from mlxd.api.fields.conversation import ConversationFields
from mlxd.api.fields.functions import Offer
from mlxd.api.fields.generation import read_request
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import Rules
from mlxd.api.keys import ReadyModel
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError
from mlxd.types import Ability, ChatMessage
from mlxd.wire.output_spec import OutputSpec

_MAX_STOPS = 64


def _without_empty(value: object) -> object:
    return [stop for stop in value if stop != ""] if isinstance(value, list) else value


class PromptFields(ToolFields, AnswerFields, ConversationFields):
    """The fields that say what an answer is to."""

    tolerated: ClassVar[Rules] = TOLERATED

    messages: Turns
    system: Texts | None = None

    @override
    def conversation(self) -> list[ChatMessage]:
        instructed = texts(self.system or ())
        head = [ChatMessage(role="system", content=instructed)] if instructed else []
        return [*head, *conversation(self._turns, definitions(self.offered))]

    @property
    @override
    def continues(self) -> bool:
        return isinstance(self._turns[-1], AssistantTurn) and self.told[-1].role == "assistant"

    @property
    @override
    def token_limit(self) -> int | None:
        return None

    @override
    def needs(self) -> Iterator[Need]:
        yield from (need for need in super().needs() if need.field != "thinking.budget_tokens")

    @override
    def output(self, model: ReadyModel) -> OutputSpec:
        output = super().output(model)
        return output if can(model, Ability.CONSTRAINTS) else msgspec.structs.replace(output, thinking_budget=None)

    @override
    def unmet_wishes(self, model: ReadyModel) -> list[str]:
        left_out = [f"the tool {name} is nothing that a client carries out; it was not offered" for name in self.left_out()]
        budget = self.budget()
        if budget is None or can(model, Ability.CONSTRAINTS):
            return [*left_out, *super().unmet_wishes(model)]
        return [*left_out, *super().unmet_wishes(model), f"{budget[0]} is not enforced on the {model.ready.runner} runner"]

    @override
    def offer(self) -> Offer:
        blocks = [block for turn in self.messages for block in turn.blocks]
        return changed(super().offer(), changes_of(blocks), references_of(blocks))

    @override
    def effort(self) -> str | None:
        effort = super().effort()
        return effort if effort == OFF else latest_effort(self.messages) or effort

    @override
    def check(self) -> None:
        self.offered.check()
        self.constraint()
        if not self.told:
            raise InvalidRequestError("messages: nothing in them is for the model to read", param="messages")

    @property
    def _turns(self) -> Turns:
        """Returns the turns without an answer that is begun with nothing."""
        *before, last = self.messages
        return before if before and isinstance(last, AssistantTurn) and last.is_empty else self.messages


class MessagesRequest(PromptFields):
    """The body of a request for a message."""

    max_tokens: Annotated[int, Whole, Field(ge=0, le=INT32)]
    stop_sequences: Annotated[list[str], BeforeValidator(_without_empty), Field(max_length=_MAX_STOPS)] | None = None
    stream: bool | None = None

    @property
    def streamed(self) -> bool:
        """Tells whether the client asked for a stream."""
        return bool(self.stream)

    @property
    @override
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    @override
    def stop_strings(self) -> list[str]:
        return self.stop_sequences or []


def messages_request(body: Mapping[str, Any], unknown: UnknownFields) -> MessagesRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    return read_request(MessagesRequest, body, unknown)


def message_shape(identity: str, model: ReadyModel, request: MessagesRequest) -> MessageShape:
    """Returns the shape of the answer to the request."""
    style = MessageStyle(shows_thinking=request.shows_thinking, asks_for_thinking=request.effort() != OFF)
    return MessageShape(identity, model, style, [*request.warnings, *request.unmet_wishes(model)])


MESSAGES = Dialect(
    path=ROOT,
    endpoint="messages",
    answer_prefix="msg_",
    read=messages_request,
    shape=message_shape,
    error=anthropic_error_body,
    early_failure=lambda _identity, _request, error: [failed(error)],
    keep_alive=PING,
)
