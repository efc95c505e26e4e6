"""What every request that goes on with a conversation has, whatever API it is of: messages, functions to call, and reasoning."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
from typing_extensions import override

from mlxd.api.fields.abilities import Need, can, check_abilities
from mlxd.api.fields.functions import Offer
from mlxd.api.fields.generation import GenerationFields
from mlxd.api.keys import ReadyModel
from mlxd.api.media.asked import asked_of
from mlxd.media_terms import MediaKind
from mlxd.types import Ability, ChatMessage
from mlxd.wire.output_spec import OutputSpec, ToolRules
from mlxd.wire.prompts import ChatPrompt

_SIGHT = {MediaKind.IMAGE: Ability.IMAGES, MediaKind.VIDEO: Ability.VIDEOS}


class ConversationFields(GenerationFields):
    """The fields of all endpoints that answer a conversation."""

    @abstractmethod
    def conversation(self) -> list[ChatMessage]:
        """Returns the messages as the chat template sees them."""

    @abstractmethod
    def offer(self) -> Offer:
        """Returns what the answer may call."""

    @cached_property
    def told(self) -> list[ChatMessage]:
        """Returns the ``conversation``, which may be long: it is made once."""
        return self.conversation()

    @cached_property
    def offered(self) -> Offer:
        """Returns the ``offer``, which is made once."""
        return self.offer()

    def effort(self) -> str | None:
        """Returns how much is to be thought; None leaves it to the model. Raises ``InvalidRequestError`` where two fields differ."""
        return None

    def budget(self) -> tuple[str, int] | None:
        """Returns how many tokens of reasoning there may be, and the field that says so; None where there is no limit. Raises
        ``InvalidRequestError`` where two fields differ.
        """
        return None

    def variables(self) -> dict[str, Any]:
        """Returns variables for the chat template. Raises ``InvalidRequestError`` where two fields differ."""
        return {}

    @property
    def continues(self) -> bool:
        """Tells whether the answer goes on where the last message ends."""
        return False

    @override
    def prompts(self, model: ReadyModel) -> Sequence[ChatPrompt]:
        check_abilities(self._sights(), model)
        prompt = ChatPrompt(
            messages=self.told,
            tools=self.offered.shown(),
            variables=self.variables(),
            reasoning_effort=self.effort(),
            continue_final_message=self.continues,
            special_tokens=model.config.input.special_tokens,
        )
        return [prompt]

    @override
    def needs(self) -> Iterator[Need]:
        yield from super().needs()
        rules, budget = self.offered.rules(), self.budget()
        if rules is not None and rules.required:
            yield Need(Ability.CONSTRAINTS, self.offered.choice_field)
        if budget is not None:
            yield Need(Ability.CONSTRAINTS, budget[0])

    @override
    def output(self, model: ReadyModel) -> OutputSpec:
        rules, budget = self.offered.rules(), self.budget()
        if rules is not None and model.config.output.strict_tools:
            rules = _with_strict(rules, is_strict=True)
        if rules is not None and not can(model, Ability.CONSTRAINTS):  # strict is a wish then: many clients send it with every tool
            rules = _with_strict(rules, is_strict=False)
        output = super().output(model)
        return msgspec.structs.replace(
            output,
            tools=rules,
            constraint=None if rules is not None and rules.required else output.constraint,  # an answer of calls has no content
            thinking_budget=None if budget is None else budget[1],
        )

    @property
    @override
    def inline_media(self) -> int:
        return sum(one.inline for message in self.told for one in asked_of(message.media))

    def _sights(self) -> Iterator[Need]:
        """Yields what there is to be seen, for whoever renders the conversation, be it to answer or to count."""
        for message in self.told:
            for media in message.media:
                yield Need(_SIGHT[media.kind], media.param)

    def unmet_wishes(self, model: ReadyModel) -> list[str]:
        """Returns what was wished for, and the model's runner cannot see to."""
        offer = self.offered
        rules = offer.rules()
        if rules is None or can(model, Ability.CONSTRAINTS):
            return []
        is_strict = any(tool.strict for tool in rules.tools)
        wishes = [(offer.strict_field, is_strict), (offer.parallel_field, not offer.parallel)]
        return [f"{field} is not enforced on the {model.ready.runner} runner" for field, is_wished in wishes if is_wished]


def _with_strict(rules: ToolRules, *, is_strict: bool) -> ToolRules:
    return msgspec.structs.replace(rules, tools=[msgspec.structs.replace(tool, strict=is_strict) for tool in rules.tools])
