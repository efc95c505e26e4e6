"""The items of an answer, as they grow: what a stream says of each from its beginning to its end, and what it is as a whole."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from typing_extensions import override

from mlxd.api.fields.opaque import sealed
from mlxd.api.openai.chat_logprobs import token_logprobs
from mlxd.wire.logprobs import TokenLogprobs

Event = dict[str, Any]  # without its number
Status = Literal["in_progress", "completed", "incomplete"]


class OutputItem(ABC):
    """An item. ``place`` is its index in the answer; ``answer_id`` is what its id is made of."""

    prefix: ClassVar[str]  # of its id

    def __init__(self, answer_id: str, place: int) -> None:
        self.id = f"{self.prefix}_{answer_id}_{place}"
        self.status: Status = "in_progress"
        self._place = place

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """Returns the item as it is so far."""

    def begin(self) -> Iterator[Event]:
        """Yields what a stream says of its beginning."""
        yield {"type": "response.output_item.added", "output_index": self._place, "item": self.document()}

    @abstractmethod
    def more(self, text: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        """Adds to the item, and yields what a stream says of that."""

    def end(self, status: Status) -> Iterator[Event]:
        """Yields what a stream says of its end."""
        self.status = status
        yield from self.closing()
        yield {"type": "response.output_item.done", "output_index": self._place, "item": self.document()}

    @abstractmethod
    def closing(self) -> Iterator[Event]:
        """Yields what stands before the last event of the item."""

    def told(self, kind: str, **fields: Any) -> Event:
        """Returns an event about the item."""
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self._place, **fields}


class Message(OutputItem):
    """A message of the model, of one text."""

    prefix = "msg"

    def __init__(self, answer_id: str, place: int) -> None:
        super().__init__(answer_id, place)
        self._text: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._has_part = False

    @override
    def document(self) -> dict[str, Any]:
        content = [self._part()] if self._has_part else []
        return {"type": "message", "id": self.id, "status": self.status, "role": "assistant", "content": content}

    @override
    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield self.told("content_part.added", content_index=0, part=self._part())
        self._has_part = True

    @override
    def more(self, text: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        told = token_logprobs(logprobs)
        self._text.append(text)
        self._logprobs += told
        yield self.told("output_text.delta", content_index=0, delta=text, logprobs=told)

    @override
    def closing(self) -> Iterator[Event]:
        part = self._part()
        yield self.told("output_text.done", content_index=0, text=part["text"], logprobs=part["logprobs"])
        yield self.told("content_part.done", content_index=0, part=part)

    def _part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": "".join(self._text), "annotations": [], "logprobs": self._logprobs}


class Reasoning(OutputItem):
    """What the model thought, as it is; where it ``is_sealed`` also in a form that clients send back."""

    prefix = "rs"

    def __init__(self, answer_id: str, place: int, *, is_sealed: bool) -> None:
        super().__init__(answer_id, place)
        self._is_sealed = is_sealed
        self._text: list[str] = []
        self._has_part = False

    @property
    def text(self) -> str:
        """Returns all of it so far."""
        return "".join(self._text)

    @override
    def document(self) -> dict[str, Any]:
        told = {"type": "reasoning", "id": self.id, "status": self.status, **self.texts()}
        if self._is_sealed:
            told["encrypted_content"] = sealed(self.text)
        return told

    @override
    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield self.opening()
        self._has_part = True

    @override
    def more(self, text: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        self._text.append(text)
        yield self.delta(text)

    def texts(self) -> dict[str, Any]:
        """Returns the fields that the text is in."""
        return {"summary": [], "content": self.parts("reasoning_text")}

    def parts(self, kind: str) -> list[dict[str, Any]]:
        """Returns the text as a part of this kind, once that has begun."""
        return [{"type": kind, "text": self.text}] if self._has_part else []

    def opening(self) -> Event:
        """Returns what says that the text begins."""
        return self.told("content_part.added", content_index=0, part={"type": "reasoning_text", "text": ""})

    def delta(self, text: str) -> Event:
        """Returns what says more of the text."""
        return self.told("reasoning_text.delta", content_index=0, delta=text)

    @override
    def closing(self) -> Iterator[Event]:
        [part] = self.parts("reasoning_text")
        yield self.told("reasoning_text.done", content_index=0, text=self.text)
        yield self.told("content_part.done", content_index=0, part=part)


class Summary(Reasoning):
    """What the model thought, where clients read it: in a summary, of which it is all."""

    @override
    def texts(self) -> dict[str, Any]:
        return {"summary": self.parts("summary_text")}

    @override
    def opening(self) -> Event:
        return self.told("reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""})

    @override
    def delta(self, text: str) -> Event:
        return self.told("reasoning_summary_text.delta", summary_index=0, delta=text)

    @override
    def closing(self) -> Iterator[Event]:
        [part] = self.parts("summary_text")
        yield self.told("reasoning_summary_text.done", summary_index=0, text=self.text)
        yield self.told("reasoning_summary_part.done", summary_index=0, part=part)
