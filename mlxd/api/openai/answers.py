"""The bodies of answers: OpenAI's objects, whole and in chunks. See ``delivery.AnswerShape`` for who calls what when."""

import hashlib
import time
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

import mlxd
from mlxd.api.keys import ReadyModel
from mlxd.errors import MlxdError
from mlxd.listener.errors import openai_error_body
from mlxd.types import FinishReason, Usage


class _Answer(msgspec.Struct, kw_only=True):
    """What all of an answer's documents share. ``usage`` is absent, or null in chunks before the one that carries it."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: Sequence[dict[str, Any]]
    usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


class _Shape:
    """What both endpoints have in common: an answer's identity, and its usage.

    ``with_usage``: a stream has a last chunk of usage, and the chunks before it a null in its place.
    """

    prefix: ClassVar[str]
    chunk_kind: ClassVar[str]

    def __init__(self, identity: str, model: ReadyModel, *, with_usage: bool) -> None:
        self.id = identity
        self._created = int(time.time())
        self._model = model.name
        self._fingerprint = fingerprint(model)
        self._no_usage_yet = None if with_usage else msgspec.UNSET

    @classmethod
    def new_id(cls) -> str:
        """For the next answer."""
        return f"{cls.prefix}-{uuid.uuid4().hex}"

    def usage(self, usage: Usage) -> bytes | None:
        """The chunk after the end; None where nobody asked for it."""
        return None if self._no_usage_yet is msgspec.UNSET else self._document(self.chunk_kind, [], usage_body(usage))

    def error(self, error: MlxdError) -> bytes:
        """The last event of a stream that failed."""
        return msgspec.json.encode(openai_error_body(error))

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
    """``chat.completion`` and ``chat.completion.chunk``. The first delta names the role."""

    prefix = "chatcmpl"
    chunk_kind = "chat.completion.chunk"
    _role_sent = False

    def whole(self, text: str, reason: FinishReason, usage: Usage) -> bytes:
        """The only document of an answer that does not stream."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return self._document("chat.completion", [choice], usage_body(usage))

    def delta(self, text: str) -> bytes:
        """A chunk with more text."""
        return self._chunk({"content": text}, None)

    def end(self, reason: FinishReason) -> bytes:
        """The chunk after the last text. An answer without any text has its role here."""
        return self._chunk({} if self._role_sent else {"content": ""}, reason)

    def _chunk(self, delta: dict[str, str], reason: FinishReason | None) -> bytes:
        if not self._role_sent:
            delta = {"role": "assistant", **delta}
            self._role_sent = True
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._document(self.chunk_kind, [choice], self._no_usage_yet)


class CompletionShape(_Shape):
    """``text_completion``, whole and in chunks."""

    prefix = "cmpl"
    chunk_kind = "text_completion"

    def whole(self, text: str, reason: FinishReason, usage: Usage) -> bytes:
        """The only document of an answer that does not stream."""
        return self._document(self.chunk_kind, [_text_choice(text, reason)], usage_body(usage))

    def delta(self, text: str) -> bytes:
        """A chunk with more text."""
        return self._document(self.chunk_kind, [_text_choice(text, None)], self._no_usage_yet)

    def end(self, reason: FinishReason) -> bytes:
        """The chunk after the last text."""
        return self._document(self.chunk_kind, [_text_choice("", reason)], self._no_usage_yet)


def _text_choice(text: str, reason: FinishReason | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


def usage_body(usage: Usage) -> dict[str, Any]:
    """OpenAI's ``usage``."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def fingerprint(model: ReadyModel) -> str:
    """Changes when the same seed may give other tokens: with the model, its numbers, its runner or our version."""
    ready = model.ready
    parts = [mlxd.__version__, model.config.source, ready.runner, ready.device, ready.dtype, *sorted(ready.versions.items())]
    return f"fp_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
