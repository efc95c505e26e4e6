"""Turns of a conversation, and what a chat template sees of them."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.anthropic.blocks import AssistantBlocks, Block, CallBlock, ResultBlock, ServedResultBlock, Texts, UserBlocks, texts
from mlxd.api.anthropic.leniency import TURN
from mlxd.api.fields.open_calls import MAX_CALLS, OpenCalls
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.errors import excerpt
from mlxd.listener.json_text import json_type
from mlxd.types import ChatMessage

MAX_TURNS = 100_000


class Turn(Strict):
    """A message of whatever role."""

    tolerated: ClassVar[Rules] = TURN

    role: str

    @abstractmethod
    def to_wire(self, calls: OpenCalls, turn: int) -> Iterator[ChatMessage]:
        """Yields the messages as the chat template sees them; ``turn`` is its place, and ``calls`` are those made so far."""


class SystemTurn(Turn):
    """What is said to the model by who instructs it, in the middle of a conversation."""

    role: Literal["system"]
    content: Texts

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> Iterator[ChatMessage]:
        yield ChatMessage(role="system", content=texts(self.content))


class UserTurn(Turn):
    """What a user says, and what tools said: their results go first, for they answer the turn before."""

    role: Literal["user"]
    content: UserBlocks

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> Iterator[ChatMessage]:
        results = [block for block in self.content if isinstance(block, ResultBlock)]
        yield from (result.to_wire(calls) for result in results)
        said = texts([block for block in self.content if not isinstance(block, ResultBlock)])
        if said or not results:
            yield ChatMessage(role="user", content=said)


class AssistantTurn(Turn):
    """An answer so far. Results of what a provider carried out stand in the middle of it."""

    role: Literal["assistant"]
    content: Annotated[AssistantBlocks, Field(max_length=MAX_CALLS)]

    @property
    def is_empty(self) -> bool:
        """Tells whether it says nothing at all."""
        return not any(block.said or block.thought or isinstance(block, CallBlock | ResultBlock) for block in self.content)

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> Iterator[ChatMessage]:
        for is_result, blocks in groupby(self.content, lambda block: isinstance(block, ServedResultBlock)):
            if is_result:
                yield from (block.to_wire(calls) for block in blocks if isinstance(block, ServedResultBlock))
            else:
                yield _answered(list(blocks), calls, turn)


def _answered(blocks: Sequence[Block], calls: OpenCalls, turn: int) -> ChatMessage:
    return ChatMessage(
        role="assistant",
        content="".join(block.said for block in blocks),
        reasoning="\n\n".join(block.thought for block in blocks if block.thought) or None,
        tool_calls=calls.made([block.to_wire() for block in blocks if isinstance(block, CallBlock)], turn),
    )


_KINDS: dict[object, type[Turn]] = {"user": UserTurn, "assistant": AssistantTurn, "system": SystemTurn}
_ROLES = ", ".join(f'"{role}"' for role in _KINDS)


def _turn(value: object) -> Turn:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    if "role" not in value:
        raise problem("is required", at=".role")
    role = value["role"]
    kind = _KINDS.get(role) if isinstance(role, str) else None
    if kind is None:
        shown = f'"{excerpt(role)}"' if isinstance(role, str) else json_type(role)
        raise problem(f"must be one of {_ROLES}, not {shown}", at=".role")
    return kind.model_validate(value)


def _few_enough(value: object) -> object:
    if isinstance(value, list) and len(value) > MAX_TURNS:
        raise problem(f"may have at most {MAX_TURNS} items, not {len(value)}")
    return value


Turns = Annotated[list[Annotated[InstanceOf[Turn], BeforeValidator(_turn)]], BeforeValidator(_few_enough), Field(min_length=1)]


def conversation(turns: Sequence[Turn]) -> list[ChatMessage]:
    """Returns the messages as the chat template sees them."""
    calls = OpenCalls()
    return [message for number, turn in enumerate(turns) for message in turn.to_wire(calls, number)]
