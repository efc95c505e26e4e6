"""What OpenAI's answers of every kind have in common, whole and in chunks."""

import hashlib
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

import mlxd
from mlxd.api.answer import Answer
from mlxd.api.dialect import AnswerShape, error_event
from mlxd.api.keys import ReadyModel, name_of
from mlxd.api.sse import SseEvent
from mlxd.api.tally import Tally
from mlxd.errors import MlxdError
from mlxd.listener.errors import openai_error_body
from mlxd.types import Usage
from mlxd.wire.events import Finished, RequestEvent

_DONE = SseEvent(b"[DONE]")  # the end mark of every stream that did not fail

_UsageBody = dict[str, Any] | msgspec.UnsetType | None


class StreamUsage(Enum):
    """Which chunks of a stream say what was used."""

    NEVER = auto()
    LAST = auto()  # one of its own; the others have a null in its place
    ALWAYS = auto()  # and every other, so far


class _Document(msgspec.Struct, kw_only=True):
    """What all of an answer's documents share. ``usage`` is absent, or null in chunks before the one that carries it."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: Sequence[dict[str, Any]]
    usage: _UsageBody = msgspec.UNSET
    warnings: Sequence[str] | msgspec.UnsetType = msgspec.UNSET  # ours: what is worth knowing of an answer that is given all the same


class Documents(AnswerShape):
    """What the answers of both endpoints have in common: their identity, the order of their chunks, and their usage.

    ``warnings`` of the request are told with those of its answers: in a stream, with the last chunk of the first choice.
    """

    chunk_kind: ClassVar[str]

    def __init__(self, identity: str, model: ReadyModel, stream_usage: StreamUsage, warnings: Sequence[str] = ()) -> None:
        self.id = identity
        self._created = int(time.time())
        self._model = name_of(model)
        self._fingerprint = fingerprint(model)
        self._stream_usage = stream_usage
        self._used: defaultdict[int, Tally] = defaultdict(Tally)  # by choice, so far
        self._warnings = warnings

    @override
    def on(self, choice: int, event: RequestEvent) -> Iterator[SseEvent]:
        if self._stream_usage is StreamUsage.ALWAYS:
            self._used[choice].take(0, event)
        for body in self.bodies(choice, event):
            yield SseEvent(self.document(self.chunk_kind, [body], self._used_so_far(choice), self._told_with(choice, body, event)))

    @override
    def end(self, usage: Usage) -> Iterator[SseEvent]:
        if self._stream_usage is not StreamUsage.NEVER:
            yield SseEvent(self.document(self.chunk_kind, [], usage_body(usage)))
        yield _DONE

    @override
    def failure(self, error: MlxdError) -> Iterator[SseEvent]:
        yield error_event(openai_error_body, error)

    @abstractmethod
    def bodies(self, choice: int, event: RequestEvent) -> Iterable[dict[str, Any]]:
        """Returns what the chunks have in ``choices`` that tell of the event; the last one of a choice has its ``finish_reason``."""

    def document(
        self, kind: str, choices: Sequence[dict[str, Any]], usage: _UsageBody = msgspec.UNSET, warnings: Sequence[str] = ()
    ) -> bytes:
        """Returns a document of this answer, of OpenAI's ``kind`` of object."""
        document = _Document(
            id=self.id,
            object=kind,
            created=self._created,
            model=self._model,
            system_fingerprint=self._fingerprint,
            choices=choices,
            usage=usage,
            warnings=warnings or msgspec.UNSET,
        )
        return msgspec.json.encode(document)

    def whole_document(self, kind: str, choices: Sequence[dict[str, Any]], answers: Sequence[Answer], usage: Usage) -> bytes:
        """Returns the only document of an answer that does not stream."""
        warnings = [*self._warnings, *(warning for answer in answers for warning in answer.end.warnings)]
        return self.document(kind, choices, usage_body(usage), warnings)

    def _used_so_far(self, choice: int) -> _UsageBody:
        if self._stream_usage is StreamUsage.NEVER:
            return msgspec.UNSET
        used = self._used[choice].usage if self._stream_usage is StreamUsage.ALWAYS else None
        return None if used is None else usage_body(used)

    def _told_with(self, choice: int, body: dict[str, Any], event: RequestEvent) -> list[str]:
        if not isinstance(event, Finished) or body["finish_reason"] is None:
            return []
        return [*(self._warnings if choice == 0 else ()), *event.warnings]


def early_failure(_identity: str, _request: object, error: MlxdError) -> Iterator[SseEvent]:
    """Yields the only event of a stream that fails before there is anything to say."""
    yield error_event(openai_error_body, error)


def usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "accepted_prediction_tokens": usage.accepted_tokens,
            "rejected_prediction_tokens": usage.rejected_tokens,
        },
    }


def fingerprint(model: ReadyModel) -> str:
    """Returns what changes when the same seed may give other tokens: with the model, an adapter, its numbers, its runner or our version."""
    ready = model.ready
    parts = [mlxd.__version__, model.config.source, ready.runner, ready.device, ready.dtype, *sorted(ready.versions.items())]
    if adapter := model.config.adapters.get(model.adapter):
        parts.append(adapter.source)
    return f"fp_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def stop_reason(end: Finished) -> dict[str, str | int]:
    """Returns which stop string, or token of ``stop_token_ids``, ended a choice, as vLLM tells it; nothing where none did."""
    reason = end.matched_token if end.matched_stop is None else end.matched_stop
    return {} if reason is None else {"stop_reason": reason}
