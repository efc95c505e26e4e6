"""The bodies of answers: OpenAI's objects, whole and in chunks."""

import hashlib
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

import mlxd
from mlxd.api.answer import Answer
from mlxd.api.dialect import AnswerShape
from mlxd.api.keys import ReadyModel
from mlxd.api.sse import SseEvent
from mlxd.types import FinishReason, Usage
from mlxd.wire.messages import Delta, Finished, RequestEvent
from mlxd.wire.parts import Reasoning, Text, content_of

_DONE = SseEvent(b"[DONE]")  # the end mark of every stream that did not fail


class _Answer(msgspec.Struct, kw_only=True):
    """What all of an answer's documents share. ``usage`` is absent, or null in chunks before the one that carries it."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: Sequence[dict[str, Any]]
    usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


class _Shape(AnswerShape):
    """What both endpoints have in common: an answer's identity, its chunks' order, and its usage.

    A stream ``with_usage`` has a last chunk of usage, and the chunks before it a null in its place.
    """

    chunk_kind: ClassVar[str]

    def __init__(self, identity: str, model: ReadyModel, *, with_usage: bool) -> None:
        self.id = identity
        self._created = int(time.time())
        self._model = model.name
        self._fingerprint = fingerprint(model)
        self._no_usage_yet = None if with_usage else msgspec.UNSET

    @override
    def on(self, choice: int, event: RequestEvent) -> Iterator[SseEvent]:
        if isinstance(event, Delta | Finished):
            yield from (SseEvent(self._delta(choice, part)) for part in event.parts if isinstance(part, Text | Reasoning))
        if isinstance(event, Finished):
            yield SseEvent(self._last(choice, event.reason))

    @override
    def end(self, usage: Usage) -> Iterator[SseEvent]:
        if self._no_usage_yet is None:
            yield SseEvent(self._document(self.chunk_kind, [], usage_body(usage)))
        yield _DONE

    @abstractmethod
    def _delta(self, choice: int, part: Text | Reasoning) -> bytes:
        """Returns a chunk with more text."""

    @abstractmethod
    def _last(self, choice: int, reason: FinishReason) -> bytes:
        """Returns the chunk after a choice's last text."""

    def _document(
        self, kind: str, choices: Sequence[dict[str, Any]], usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    ) -> bytes:
        answer = _Answer(
            id=self.id,
            object=kind,
            created=self._created,
            model=self._model,
            system_fingerprint=self._fingerprint,
            choices=choices,
            usage=usage,
        )
        return msgspec.json.encode(answer)


class ChatShape(_Shape):
    """The shape of ``chat.completion`` and ``chat.completion.chunk``. A choice's first delta names the role. What the model thought is
    ``reasoning_content``, as vLLM, llama.cpp and DeepSeek call it.
    """

    chunk_kind = "chat.completion.chunk"

    def __init__(self, identity: str, model: ReadyModel, *, with_usage: bool) -> None:
        super().__init__(identity, model, with_usage=with_usage)
        self._begun: set[int] = set()  # choices whose role is sent

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        choices = [_chat_choice(index, answer) for index, answer in enumerate(answers)]
        return self._document("chat.completion", choices, usage_body(usage))

    @override
    def _delta(self, choice: int, part: Text | Reasoning) -> bytes:
        return self._chunk(choice, {"content" if isinstance(part, Text) else "reasoning_content": part.text}, None)

    @override
    def _last(self, choice: int, reason: FinishReason) -> bytes:
        """Returns the last chunk, which has the role of an answer without any text."""
        return self._chunk(choice, {} if choice in self._begun else {"content": ""}, reason)

    def _chunk(self, choice: int, delta: dict[str, str], reason: FinishReason | None) -> bytes:
        if choice not in self._begun:
            delta = {"role": "assistant", **delta}
            self._begun.add(choice)
        body = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._document(self.chunk_kind, [body], self._no_usage_yet)


class CompletionShape(_Shape):
    """The shape of ``text_completion``, whole and in chunks: all the model wrote, in order, for there is no field for reasoning."""

    chunk_kind = "text_completion"

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        texts = ["".join(part.text for part in answer.parts if isinstance(part, Text | Reasoning)) for answer in answers]
        choices = [_text_choice(index, texts[index], answer.end.reason) for index, answer in enumerate(answers)]
        return self._document(self.chunk_kind, choices, usage_body(usage))

    @override
    def _delta(self, choice: int, part: Text | Reasoning) -> bytes:
        return self._document(self.chunk_kind, [_text_choice(choice, part.text, None)], self._no_usage_yet)

    @override
    def _last(self, choice: int, reason: FinishReason) -> bytes:
        return self._document(self.chunk_kind, [_text_choice(choice, "", reason)], self._no_usage_yet)


def _chat_choice(index: int, answer: Answer) -> dict[str, Any]:
    reasoning = "".join(part.text for part in answer.parts if isinstance(part, Reasoning))
    thought = {"reasoning_content": reasoning} if reasoning else {}
    message = {"role": "assistant", "content": content_of(answer.parts), **thought, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": answer.end.reason}


def _text_choice(index: int, text: str, reason: FinishReason | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def usage_body(usage: Usage) -> dict[str, Any]:
    """Returns OpenAI's ``usage``."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def fingerprint(model: ReadyModel) -> str:
    """Returns what changes when the same seed may give other tokens: with the model, its numbers, its runner or our version."""
    ready = model.ready
    parts = [mlxd.__version__, model.config.source, ready.runner, ready.device, ready.dtype, *sorted(ready.versions.items())]
    return f"fp_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
