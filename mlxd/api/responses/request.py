"""The body of a request for a response."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import Field
from typing_extensions import override

from mlxd.api.fields.abilities import Need
from mlxd.api.fields.conversation import ConversationFields
from mlxd.api.fields.functions import Offer, ToolChoice
from mlxd.api.fields.generation import AskedConstraint, read_request
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.template_variables import TemplateVariables
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict
from mlxd.api.keys import ReadyModel
from mlxd.api.responses.catalogue import Catalogue
from mlxd.api.responses.items import Input, LeftOutItem, LoadedToolsItem
from mlxd.api.responses.leniency import RESPONSES, STREAM_OPTIONS
from mlxd.api.responses.reasoning import ReasoningSettings
from mlxd.api.responses.text import TextSettings
from mlxd.api.responses.tool_choice import Choice
from mlxd.api.responses.tools import Tools, catalogue_of, left_out
from mlxd.api.responses.turns import Turns
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError, excerpt
from mlxd.types import Ability, ChatMessage
from mlxd.wire.output_spec import OutputSpec

_MOST_CANDIDATES = 20  # for a token, as OpenAI has it
_MOST_INCLUDED = 64
_MOST_WARNINGS = 20  # about items

_LOGPROBS = "message.output_text.logprobs"
_SEALED = "reasoning.encrypted_content"
_INCLUDABLE = {  # what else may be asked for is about hosted tools, of which there are none, and about what the client has itself
    *(_LOGPROBS, _SEALED, "file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
    *("message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs"),
}

_TokenLimit = Annotated[int, Whole, Field(ge=-1, le=INT32)]  # -1 and 0: no limit, as front ends mean them


class StreamOptions(Strict):
    """The options of a stream, which has none that are obeyed."""

    tolerated: ClassVar[Rules] = STREAM_OPTIONS


class ResponsesRequest(ConversationFields):
    """The body of a request for a response."""

    tolerated: ClassVar[Rules] = RESPONSES

    input: Input
    instructions: str | None = None
    tools: Tools | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Whole, Field(ge=0, le=INT32)] | None = None  # of hosted tools, of which there are none
    max_output_tokens: _TokenLimit | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    chat_template_kwargs: TemplateVariables | None = None  # as in chats
    include: Annotated[list[str], Field(max_length=_MOST_INCLUDED)] | None = None
    top_logprobs: Annotated[int, Whole, Field(ge=0, le=_MOST_CANDIDATES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None

    @property
    def streamed(self) -> bool:
        """Tells whether the client asked for a stream."""
        return bool(self.stream)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Returns the functions that the answer may call: those of ``tools``, and those that were loaded on the way."""
        catalogue = catalogue_of(self.tools or [])
        for index, item in enumerate(self.input):
            if isinstance(item, LoadedToolsItem):
                catalogue.load(catalogue_of(item.tools, f"input[{index}].tools"))
        return catalogue

    @override
    def conversation(self) -> list[ChatMessage]:
        turns = Turns()
        if self.instructions:
            turns.instructed(self.instructions)
        for index, item in enumerate(self.input):
            turns.place = f"input[{index}]"
            item.tell(turns, self.catalogue)
        return turns.messages()

    @override
    def offer(self) -> Offer:
        choice = ToolChoice("auto") if self.tool_choice is None else self.tool_choice.within(self.catalogue)
        return Offer(functions=self.catalogue.functions, choice=choice, parallel=self.parallel_tool_calls is not False)

    @override
    def effort(self) -> str | None:
        return None if self.reasoning is None else self.reasoning.effort

    @override
    def variables(self) -> dict[str, Any]:
        return self.chat_template_kwargs or {}

    @property
    def reasons_in_summary(self) -> bool:
        """Tells whether the answer has its reasoning as a summary."""
        return self.reasoning is not None and self.reasoning.as_summary

    @property
    def seals_reasoning(self) -> bool:
        """Tells whether reasoning is also to be in a form that clients send back."""
        return _SEALED in (self.include or ())

    @property
    @override
    def token_limit(self) -> int | None:
        limit = self.max_output_tokens
        return limit if limit is not None and limit > 0 else None

    @override
    def constraint(self) -> AskedConstraint | None:
        return None if self.text is None else self.text.constraint()

    @property
    def logprobs(self) -> int | None:
        """Returns for how many candidates of each token there are log-probabilities; None for no log-probabilities at all."""
        return self.top_logprobs or 0 if self.top_logprobs or _LOGPROBS in (self.include or ()) else None

    @override
    def needs(self) -> Iterator[Need]:
        yield from super().needs()
        if self.logprobs is not None:
            yield Need(Ability.LOGPROBS, "top_logprobs" if self.top_logprobs else "include")

    @override
    def output(self, model: ReadyModel) -> OutputSpec:
        return msgspec.structs.replace(super().output(model), logprobs=self.logprobs)

    @property
    @override
    def warnings(self) -> list[str]:
        stored = ["store: nothing is stored, so that no later request can refer to this response"] if self.store else []
        items = islice(self._items_left_out(), _MOST_WARNINGS)
        unknown = [name for name in self.include or () if name not in _INCLUDABLE]
        included = [f"include: {excerpt(name)} is unknown and was ignored" for name in unknown]
        return [*super().warnings, *left_out(self.tools or []), *items, *included, *stored]

    @override
    def check(self) -> None:
        self.constraint()
        self.offered.check()
        if not self.told:
            raise InvalidRequestError("input has nothing in it that a model can be shown", param="input")

    def _items_left_out(self) -> Iterator[str]:
        for index, item in enumerate(self.input):
            if isinstance(item, LeftOutItem):
                yield f"input[{index}]: an item of the type {excerpt(item.type)} was left out"


def responses_request(body: Mapping[str, Any], unknown: UnknownFields) -> ResponsesRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    return read_request(ResponsesRequest, body, unknown)
