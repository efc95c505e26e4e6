"""The answers: a ``message``, and the events that build one."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from typing_extensions import override

from mlxd.api.answer import Answer
from mlxd.api.anthropic.errors import anthropic_error_body
from mlxd.api.anthropic.events import BlockEvents, Event, whole_blocks
from mlxd.api.dialect import AnswerShape, error_event
from mlxd.api.keys import ReadyModel, name_of
from mlxd.api.sse import SseEvent
from mlxd.errors import MlxdError
from mlxd.types import FinishReason, Usage
from mlxd.wire.events import Delta, Finished, RequestEvent, Started

_PATIENCE = 120.0  # seconds in which pings are enough

PING = SseEvent(b'{"type":"ping"}', name="ping")

_REASONS = {FinishReason.STOP: "end_turn", FinishReason.LENGTH: "max_tokens", FinishReason.TOOL_CALLS: "tool_use"}


@dataclass(frozen=True, kw_only=True)
class MessageStyle:
    """What of an answer is told: with or without what was thought, which it begins with where it is asked for."""

    shows_thinking: bool = True
    asks_for_thinking: bool = False


class MessageShape(AnswerShape):
    """The shape of an answer. ``warnings`` of the request are told with those of its answer, at its end."""

    def __init__(self, identity: str, model: ReadyModel, style: MessageStyle, warnings: Sequence[str] = ()) -> None:
        self._id = identity
        self._model = name_of(model)
        self._style = style
        self._warnings = warnings
        self._blocks = BlockEvents(shows_thinking=style.shows_thinking, expected="thinking" if style.asks_for_thinking else "text")
        self._last_event: float | None = None  # seconds, as of ``time.monotonic``; None before the first one

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        [answer] = answers
        content = whole_blocks(answer.parts, shows_thinking=self._style.shows_thinking)
        return msgspec.json.encode(self._message(content, _ended(answer.end), usage) | self._told(answer.end))

    @override
    def on(self, choice: int, event: RequestEvent) -> Iterator[SseEvent]:
        self._last_event = time.monotonic()
        if isinstance(event, Started):
            yield from self._begin(Usage(prompt_tokens=event.prompt_tokens, completion_tokens=0, cached_tokens=event.cached_tokens))
        if isinstance(event, Delta | Finished):
            yield from map(_encoded, self._blocks.of(event.parts))
        if isinstance(event, Finished):
            yield from map(_encoded, self._blocks.end())
            delta = {"type": "message_delta", "delta": _ended(event), "usage": usage_body(event.usage)}
            yield _encoded(delta | self._told(event))

    @override
    def alive(self) -> Iterator[SseEvent]:
        # Claude Code 2.1.197 gives up a stream five minutes after the last event that its SDK passes on, of which pings are none.
        if self._last_event is not None and time.monotonic() - self._last_event > _PATIENCE:
            self._last_event = time.monotonic()
            yield from map(_encoded, self._blocks.nothing())

    @override
    def end(self, usage: Usage) -> Iterator[SseEvent]:
        yield _encoded({"type": "message_stop"})

    @override
    def failure(self, error: MlxdError) -> Iterator[SseEvent]:
        yield failed(error)

    def _begin(self, usage: Usage) -> Iterator[SseEvent]:
        nothing_yet = {"stop_reason": None, "stop_sequence": None}
        yield _encoded({"type": "message_start", "message": self._message([], nothing_yet, usage)})
        yield PING

    def _message(self, content: Sequence[dict[str, Any]], end: dict[str, Any], usage: Usage) -> dict[str, Any]:
        head = {"id": self._id, "type": "message", "role": "assistant", "model": self._model, "content": content}
        return {**head, **end, "usage": usage_body(usage)}

    def _told(self, end: Finished) -> dict[str, Any]:
        """Returns what is ours: what is worth knowing of an answer that is given all the same."""
        warnings = [*self._warnings, *end.warnings]
        return {"warnings": warnings} if warnings else {}


def failed(error: MlxdError) -> SseEvent:
    """Returns the event that ends a stream that fails."""
    return error_event(anthropic_error_body, error, "error")


def usage_body(usage: Usage) -> dict[str, Any]:
    """Returns Anthropic's ``usage``, whose input is what no cache had. Nothing is written to a cache for its own sake: all prompts are."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
    }


def _ended(end: Finished) -> dict[str, Any]:
    """Returns why the answer ended. One that calls waits for results, whatever came behind the calls."""
    if end.matched_stop is not None and end.reason is not FinishReason.TOOL_CALLS:
        return {"stop_reason": "stop_sequence", "stop_sequence": end.matched_stop}
    return {"stop_reason": _REASONS[end.reason], "stop_sequence": None}


def _encoded(event: Event) -> SseEvent:
    return SseEvent(msgspec.json.encode(event), name=event["type"])
