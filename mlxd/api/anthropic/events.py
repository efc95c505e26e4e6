"""The blocks of an answer: while it is generated, opened and closed one behind the other, each with its index; and whole."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from mlxd.api.anthropic.ids import tool_use_id
from mlxd.api.anthropic.inputs import call_input
from mlxd.api.fields.opaque import sealed
from mlxd.wire.parts import Part, Reasoning, Text, ToolCallArguments, ToolCallBegun

_Kind = Literal["text", "thinking", "tool_use"]
Event = dict[str, Any]  # with its "type"

_SIGNED = b"mlxd"


class BlockEvents:
    """The events of one answer's blocks. Without ``shows_thinking`` a block says that something was thought, and its signature what."""

    def __init__(self, *, shows_thinking: bool, expected: Literal["text", "thinking"] = "text") -> None:
        """``expected`` is the kind of block that an answer is likely to begin with."""
        self._shows_thinking = shows_thinking
        self._expected: _Kind = expected
        self._next = 0  # the index of the next block
        self._open: _Kind | None = None
        self._thought: list[str] = []  # of the block that is open
        self._calls: dict[int, int] = {}  # indexes of blocks, by those of calls
        self._has_content = False

    def of(self, parts: Sequence[Part]) -> Iterator[Event]:
        """Yields what tells of the parts."""
        for part in parts:
            match part:
                case Text(text=text):
                    yield from self._in("text", text="")
                    yield self._delta("text_delta", text=text)
                case Reasoning(text=text):
                    yield from self._in("thinking", thinking="", signature="")
                    self._thought.append(text)
                    if self._shows_thinking:
                        yield self._delta("thinking_delta", thinking=text)
                case ToolCallBegun():
                    yield from self._begin_call(part)
                case ToolCallArguments(index=index, text=text):
                    yield _event("content_block_delta", index=self._calls[index], delta={"type": "input_json_delta", "partial_json": text})

    def nothing(self) -> Iterator[Event]:
        """Yields a delta that says nothing: of the block that is open, or of the one that is expected, which it opens."""
        kind = self._open or self._expected
        if kind == "tool_use":
            yield self._delta("input_json_delta", partial_json="")
        elif kind == "thinking":
            yield from self._in("thinking", thinking="", signature="")
            yield self._delta("thinking_delta", thinking="")
        else:
            yield from self._in("text", text="")
            yield self._delta("text_delta", text="")

    def end(self) -> Iterator[Event]:
        """Yields what ends the blocks: an answer that neither says nor calls anything has an empty text."""
        if not self._has_content:
            yield from self._in("text", text="")
        yield from self._close()

    def _in(self, kind: _Kind, **fields: Any) -> Iterator[Event]:
        """Yields what is to be said until a block of this kind is open."""
        if self._open != kind:
            yield from self._close()
            yield self._begin(kind, **fields)

    def _begin_call(self, call: ToolCallBegun) -> Iterator[Event]:
        yield from self._close()
        self._calls[call.index] = self._next
        yield self._begin("tool_use", id=tool_use_id(call.id), name=call.name, input={})

    def _begin(self, kind: _Kind, **fields: Any) -> Event:
        self._open = kind
        self._has_content = self._has_content or kind != "thinking"
        self._next += 1
        return _event("content_block_start", index=self._index, content_block={"type": kind, **fields})

    def _close(self) -> Iterator[Event]:
        if self._open == "thinking":
            yield self._delta("signature_delta", signature=self._signature())
            self._thought = []
        if self._open is not None:
            yield _event("content_block_stop", index=self._index)
        self._open = None

    def _delta(self, kind: str, **fields: Any) -> Event:
        return _event("content_block_delta", index=self._index, delta={"type": kind, **fields})

    def _signature(self) -> str:
        """Returns what clients send back and expect to be there: the same of the same thoughts. It proves nothing; where it is all that a
        client has of them, it holds them, so that the next prompt begins like this one.
        """
        thought = "".join(self._thought)
        if not self._shows_thinking:
            return sealed(thought)
        digest = hashlib.blake2b(thought.encode("utf-8", "surrogatepass"), digest_size=48).digest()
        return base64.b64encode(_SIGNED + digest).decode()

    @property
    def _index(self) -> int:
        return self._next - 1


def whole_blocks(parts: Sequence[Part], *, shows_thinking: bool) -> list[dict[str, Any]]:
    """Returns the blocks of a whole answer: what its events build."""
    blocks: list[dict[str, Any]] = []
    inputs: defaultdict[int, str] = defaultdict(str)
    events = BlockEvents(shows_thinking=shows_thinking)
    for told in (*events.of(parts), *events.end()):
        if told["type"] == "content_block_start":
            blocks.append(told["content_block"])
        elif told["type"] == "content_block_delta":
            _, *[(name, more)] = told["delta"].items()
            if name == "partial_json":
                inputs[told["index"]] += more
            else:
                blocks[told["index"]][name] += more
    return [{**block, "input": call_input(inputs[index])} if "input" in block else block for index, block in enumerate(blocks)]


def _event(kind: str, **fields: Any) -> Event:
    return {"type": kind, **fields}
