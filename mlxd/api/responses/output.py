"""The output of one answer, put together from what the worker says: a list of items, and the events that tell of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlxd.api.responses.catalogue import Catalogue, Kind
from mlxd.api.responses.output_calls import Call, CustomCall, FunctionCall, SearchCall
from mlxd.api.responses.output_items import Event, Message, OutputItem, Reasoning, Summary
from mlxd.types import FinishReason
from mlxd.wire.events import Delta, Finished
from mlxd.wire.logprobs import TokenLogprobs
from mlxd.wire.parts import Part, Text, ToolCallArguments, ToolCallBegun
from mlxd.wire.parts import Reasoning as Thought

_CALLS: Mapping[Kind, type[Call]] = {"function": FunctionCall, "custom": CustomCall, "tool_search": SearchCall}


@dataclass(frozen=True, kw_only=True)
class OutputStyle:
    """How an answer is told: with what names of functions, and its reasoning as a summary or as it is, sealed or not."""

    catalogue: Catalogue
    in_summary: bool = False
    is_sealed: bool = False


class Output:
    """An output under construction. ``answer_id`` is what the ids of its items are made of."""

    def __init__(self, answer_id: str, style: OutputStyle) -> None:
        self._answer_id = answer_id
        self._style = style
        self._items: list[OutputItem] = []
        self._untold: list[TokenLogprobs] = []  # of tokens whose text is still to come

    def documents(self) -> list[dict[str, Any]]:
        """Returns the items as they are so far."""
        return [item.document() for item in self._items]

    def take(self, event: Delta | Finished) -> Iterator[Event]:
        """Takes in more of the answer, and yields what a stream says of it; of its end, up to the end of its last item."""
        self._keep_logprobs(event)
        for part in event.parts:
            yield from self._take_part(part)
        if isinstance(event, Finished):
            yield from self._finish(event)

    def cut_off(self) -> None:
        """Ends the output where it is, for an answer that fails."""
        for item in self._items[-1:]:
            item.status = "incomplete" if item.status == "in_progress" else item.status

    def _take_part(self, part: Part) -> Iterator[Event]:
        item = self._open
        if not _belongs(part, item):
            if item is not None:
                yield from item.end("completed")
            item = self._made(part)
            self._items.append(item)
            yield from item.begin()
        if isinstance(part, ToolCallBegun) or item is None:
            return
        logprobs, self._untold = (self._untold if isinstance(part, Text) else []), []
        yield from item.more(part.text, logprobs)

    def _finish(self, end: Finished) -> Iterator[Event]:
        if not any(isinstance(item, Message | Call) for item in self._items):
            yield from self._take_part(Text(text=""))  # an answer of nothing is a message of nothing: clients look for one
        item = self._open
        if item is None:
            return
        if self._untold and isinstance(item, Message):
            yield from item.more("", self._untold)
        yield from item.end("incomplete" if end.reason is FinishReason.LENGTH else "completed")

    def _keep_logprobs(self, event: Delta | Finished) -> None:
        """Keeps the log-probabilities of a text's tokens; those of reasoning and of calls are no text's."""
        is_text = isinstance(self._open, Message | None) if not event.parts else any(isinstance(part, Text) for part in event.parts)
        self._untold += event.logprobs if is_text else ()

    @property
    def _open(self) -> OutputItem | None:
        last = self._items[-1] if self._items else None
        return last if last is not None and last.status == "in_progress" else None

    def _made(self, part: Part) -> OutputItem:
        place = len(self._items)
        if isinstance(part, Text):
            return Message(self._answer_id, place)
        if isinstance(part, Thought):
            kind = Summary if self._style.in_summary else Reasoning
            return kind(self._answer_id, place, is_sealed=self._style.is_sealed)
        if isinstance(part, ToolCallArguments):
            raise AssertionError(f"arguments of call {part.index}, which is not begun")
        entry = self._style.catalogue.entry(part.name)
        return _CALLS[entry.kind](self._answer_id, place, part.id, entry)


def _belongs(part: Part, item: OutputItem | None) -> bool:
    """Tells whether the part goes on with the item."""
    if isinstance(part, ToolCallBegun):
        return False
    if isinstance(part, Text):
        return isinstance(item, Message)
    return isinstance(item, Reasoning if isinstance(part, Thought) else Call)


def untold(events: Sequence[Delta | Finished], output: Output) -> None:
    """Has the output take in events that no stream is told of."""
    for event in events:
        for _ in output.take(event):
            pass
