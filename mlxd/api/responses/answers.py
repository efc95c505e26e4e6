"""The answers of ``/v1/responses``: a ``response``, or the events of its life, numbered without a gap, of which the last one is always a
``response.completed``, ``response.incomplete`` or ``response.failed``.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from mlxd.api.answer import Answer
from mlxd.api.dialect import AnswerShape
from mlxd.api.fields.json_text import json_text
from mlxd.api.keys import ReadyModel, name_of
from mlxd.api.responses.output import Output, OutputStyle, untold
from mlxd.api.responses.output_items import Event
from mlxd.api.responses.request import ResponsesRequest
from mlxd.api.responses.tools import sent_back
from mlxd.api.sse import SseEvent
from mlxd.errors import ContextLengthError, MlxdError, QueueFullError, RequestError
from mlxd.types import FinishReason, Usage
from mlxd.wire.events import Delta, Finished, RequestEvent, Started


class ResponseShape(AnswerShape):
    """The shape of one response. ``model`` is None where it fails before the model is ready."""

    def __init__(self, identity: str, model: ReadyModel | None, request: ResponsesRequest) -> None:
        self._id = identity
        self._request = request
        self._created = int(time.time())
        self._number = 0
        self._asked = _asked(request, model)
        self._warnings = [*request.warnings, *(request.unmet_wishes(model) if model else [])]
        style = OutputStyle(catalogue=request.catalogue, in_summary=request.reasons_in_summary, is_sealed=request.seals_reasoning)
        self._output = Output(identity.partition("_")[2], style)
        self._end: Finished | None = None

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        [answer] = answers
        untold(answer.told, self._output)
        self._end = answer.end
        return msgspec.json.encode(self._finished(usage))

    @override
    def on(self, choice: int, event: RequestEvent) -> Iterator[SseEvent]:
        if isinstance(event, Started):
            yield from self._begin() if self._number == 0 else ()
        elif isinstance(event, Delta | Finished):
            self._end = event if isinstance(event, Finished) else None
            yield from map(self._numbered, self._output.take(event))

    @override
    def alive(self) -> Iterator[SseEvent]:
        # Not a comment: Codex gives up a stream without an event for five minutes, and a long prompt may take longer.
        if self._number == 0:
            yield from self._begin()
        else:
            yield self._numbered({"type": "response.in_progress", "response": self._response("in_progress")})

    @override
    def end(self, usage: Usage) -> Iterator[SseEvent]:
        response = self._finished(usage)
        yield self._numbered({"type": f"response.{response['status']}", "response": response})

    @override
    def failure(self, error: MlxdError) -> Iterator[SseEvent]:
        if self._number == 0:
            yield from self._begin()  # clients read nothing of a response that was not created
        self._output.cut_off()
        response = self._response("failed", error=_error(error))
        yield self._numbered({"type": "response.failed", "response": response})

    def _begin(self) -> Iterator[SseEvent]:
        for kind in ("created", "in_progress"):
            yield self._numbered({"type": f"response.{kind}", "response": self._response("in_progress")})

    def _numbered(self, event: Event) -> SseEvent:
        number, self._number = self._number, self._number + 1
        return SseEvent(msgspec.json.encode({**event, "sequence_number": number}), name=event["type"])

    def _finished(self, usage: Usage) -> dict[str, Any]:
        """Returns the response at its end."""
        more = {"usage": _usage(usage)}
        if self._end is not None and self._end.reason is FinishReason.LENGTH:
            return self._response("incomplete", incomplete_details={"reason": "max_output_tokens"}, **more)
        return self._response("completed", completed_at=int(time.time()), **more)

    def _response(self, status: str, **fields: Any) -> dict[str, Any]:
        warnings = [*self._warnings, *(self._end.warnings if self._end else ())]
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            **self._asked,
            "output": self._output.documents(),
            "usage": None,
            **({"warnings": warnings} if warnings else {}),
            **fields,
        }


def early_failure(identity: str, request: ResponsesRequest, error: MlxdError) -> Iterable[SseEvent]:
    """Returns all events of a stream that fails before its model is ready."""
    return ResponseShape(identity, None, request).failure(error)


def _asked(request: ResponsesRequest, model: ReadyModel | None) -> dict[str, Any]:
    """Returns what the response repeats of its request, and what it has where that was silent."""
    defaults = None if model is None else model.config.sampling
    return {
        "background": False,
        "instructions": request.instructions,
        "max_output_tokens": request.token_limit,
        "max_tool_calls": request.max_tool_calls,
        "metadata": {name: value if isinstance(value, str) else json_text(value) for name, value in (request.metadata or {}).items()},
        "model": request.model if model is None else name_of(model),
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None} if request.reasoning is None else request.reasoning.sent_back(),
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": request.temperature if request.temperature is not None or defaults is None else defaults.temperature,
        "text": {"format": {"type": "text"}, "verbosity": "medium"} if request.text is None else request.text.sent_back(),
        "tool_choice": "auto" if request.tool_choice is None else request.tool_choice.sent,
        "tools": sent_back(request.tools or []),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p if request.top_p is not None or defaults is None else defaults.top_p,
        "truncation": "disabled",
        "user": request.user,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},  # nothing is paid for
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _error(error: MlxdError) -> dict[str, Any]:
    """Returns an error as a response has it: with one of OpenAI's few codes, and ours as its type. Clients look for a prompt that does not
    fit, and for a limit of rates.
    """
    if isinstance(error, ContextLengthError):
        code = error.code
    elif isinstance(error, QueueFullError):
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if isinstance(error, RequestError) else "server_error"
    return {"code": code, "message": error.message, "param": error.param, "type": error.code}
