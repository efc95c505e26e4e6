"""Turns of a conversation, and what a chat template sees of them."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.anthropic.block import BETWEEN, NOTHING, Block, Definitions
from mlxd.api.anthropic.blocks import AssistantBlocks, CallBlock, CompactionBlock, ResultBlock, ServedResultBlock, Texts, UserBlocks, texts
from mlxd.api.anthropic.leniency import TURN
from mlxd.api.anthropic.tool_changes import ToolChangeBlock
from mlxd.api.fields.effort import Effort
from mlxd.api.fields.open_calls import MAX_CALLS, OpenCalls
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, at_most, problem, read_by_role
from mlxd.api.media.content import joined
from mlxd.listener.json_text import json_type
from mlxd.types import ChatMessage

MAX_TURNS = 100_000
_SAYS_MORE = (CallBlock, ResultBlock, CompactionBlock)


@dataclass(frozen=True)
class Past:
    """What turns know of the conversation: ``tools`` that it tells of where they come in, and the calls made so far."""

    tools: Definitions
    calls: OpenCalls = field(default_factory=OpenCalls)


@dataclass(frozen=True)
class Place:
    """Where a turn is in the request; its blocks are those from ``first`` on."""

    turn: int
    first: int = 0

    def of(self, number: int) -> str:
        """Names one of its blocks."""
        return f"messages[{self.turn}].content[{self.first + number}]"


class Turn(Strict):
    """A message of whatever role."""

    tolerated: ClassVar[Rules] = TURN

    role: str

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """Returns what it consists of."""

    @abstractmethod
    def to_wire(self, past: Past, place: Place) -> Iterator[ChatMessage]:
        """Yields the messages as the chat template sees them."""


class TurnOutput(Strict):
    """How much work the answer is worth from a turn on."""

    effort: Effort | None = None


class SystemTurn(Turn):
    """What is said to the model by who instructs it, in the middle of a conversation."""

    role: Literal["system"]
    content: Texts | None = None
    clear_at: Literal["next_user_message", "never"] | None = None
    output_config: TurnOutput | None = None

    @property
    @override
    def blocks(self) -> Sequence[Block]:
        return self.content or ()

    @override
    def to_wire(self, past: Past, place: Place) -> Iterator[ChatMessage]:
        said = texts(self.blocks, past.tools)
        if said:
            yield ChatMessage(role="system", content=said)


class UserTurn(Turn):
    """What a user says, and what tools said: their results go first, for they answer the turn before."""

    role: Literal["user"]
    content: UserBlocks

    @property
    @override
    def blocks(self) -> Sequence[Block]:
        return self.content

    @override
    def to_wire(self, past: Past, place: Place) -> Iterator[ChatMessage]:
        results = [(number, block) for number, block in enumerate(self.content) if isinstance(block, ResultBlock)]
        yield from (result.to_wire(past.calls, past.tools, place.of(number)) for number, result in results)
        rest = ((number, block) for number, block in enumerate(self.content) if not isinstance(block, ResultBlock))
        said = joined((block.shown(past.tools, place.of(number)) for number, block in rest), BETWEEN)
        if said or not results:
            yield ChatMessage(role="user", content=said.text, media=list(said.media))


class AssistantTurn(Turn):
    """An answer so far. Results of what a provider carried out stand in the middle of it."""

    role: Literal["assistant"]
    content: Annotated[AssistantBlocks, Field(max_length=MAX_CALLS)]

    @property
    @override
    def blocks(self) -> Sequence[Block]:
        return self.content

    @property
    def is_empty(self) -> bool:
        """Tells whether it says nothing at all."""
        return not any(block.said(NOTHING) or block.thought or isinstance(block, _SAYS_MORE) for block in self.content)

    @override
    def to_wire(self, past: Past, place: Place) -> Iterator[ChatMessage]:
        for is_result, blocks in groupby(self.content, lambda block: isinstance(block, ServedResultBlock)):
            if is_result:
                yield from (block.to_wire(past.calls, past.tools, "messages") for block in blocks if isinstance(block, ServedResultBlock))
            else:
                yield _answered(list(blocks), past, place.turn)


def _answered(blocks: Sequence[Block], past: Past, turn: int) -> ChatMessage:
    return ChatMessage(
        role="assistant",
        content="".join(block.said(NOTHING) for block in blocks if not isinstance(block, ToolChangeBlock)),
        reasoning="\n\n".join(block.thought for block in blocks if block.thought) or None,
        tool_calls=past.calls.made([block.to_wire() for block in blocks if isinstance(block, CallBlock)], turn),
    )


_KINDS: dict[str, type[Turn]] = {"user": UserTurn, "assistant": AssistantTurn, "system": SystemTurn}


def _turn(value: object) -> Turn:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    return read_by_role(value, _KINDS)


Turns = Annotated[list[Annotated[InstanceOf[Turn], BeforeValidator(_turn)]], BeforeValidator(at_most(MAX_TURNS)), Field(min_length=1)]


def conversation(turns: Sequence[Turn], tools: Definitions) -> list[ChatMessage]:
    """Returns the messages as the chat template sees them. What was compacted is what a user says at the beginning; ``tools`` are told of
    where they come in.
    """
    past, (summary, kept) = Past(tools), _since_compaction(_still_shown(turns))
    messages = [message for placed in kept for message in placed.turn.to_wire(past, placed.place)]
    return [ChatMessage(role="user", content=summary), *messages] if summary else messages


def latest_effort(turns: Sequence[Turn]) -> Effort | None:
    """Returns what the last system message behind all answers says of effort."""
    behind = takewhile(lambda turn: not isinstance(turn, AssistantTurn), reversed(turns))
    told = (turn.output_config.effort for turn in behind if isinstance(turn, SystemTurn) and turn.output_config is not None)
    return next((effort for effort in told if effort is not None), None)


@dataclass(frozen=True)
class _Placed:
    """A turn, and where it is."""

    turn: Turn
    place: Place


def _still_shown(turns: Sequence[Turn]) -> list[_Placed]:
    """Returns the turns without system messages that were for one user's turn only, which is over."""
    last = max((number for number, turn in enumerate(turns) if isinstance(turn, UserTurn)), default=-1)
    return [
        _Placed(turn, Place(number))
        for number, turn in enumerate(turns)
        if number > last or getattr(turn, "clear_at", None) != "next_user_message"
    ]


def _since_compaction(turns: Sequence[_Placed]) -> tuple[str, Sequence[_Placed]]:
    """Returns what the last compaction says, and what came behind it; nothing and all where there is none."""
    for number in reversed(range(len(turns))):
        turn, place = turns[number].turn, turns[number].place
        for at in reversed(range(len(turn.blocks))):
            block = turn.blocks[at]
            if isinstance(block, CompactionBlock) and block.content:
                rest = turn.model_copy(update={"content": turn.blocks[at + 1 :]})
                kept = [_Placed(rest, Place(place.turn, at + 1))] if rest.blocks else []
                return block.content, [*kept, *turns[number + 1 :]]
    return "", turns
