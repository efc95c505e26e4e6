"""The parser of Cohere's Command A and R7B.

``<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "f", "parameters": {…}}]<|END_ACTION|>``, and
``<|START_RESPONSE|>…<|END_RESPONSE|>`` around content.
"""

from typing_extensions import override

from mlxd.wire.output_spec import ToolRules
from mlxd.worker.text.parsers.json_calls import JsonCallsParser
from mlxd.worker.text.parsers.script import Steps

_ACTION = "<|START_ACTION|>"
_AROUND_CONTENT = ("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>")


class CohereParser(JsonCallsParser):
    """A parser of sections of JSON objects; the markers around content are dropped."""

    openings: tuple[str, ...] = (_ACTION, *_AROUND_CONTENT)
    closings = ("<|END_ACTION|>",)
    markers = frozenset({_ACTION, *_AROUND_CONTENT, *closings})
    interrupts = frozenset({_ACTION, "<|START_RESPONSE|>"})
    names = ("tool_name", "name")
    keys = ("parameters", "arguments")

    @override
    def _call(self, opening: str) -> Steps[None]:
        if opening != _ACTION:
            return
        yield from self._space()
        yield from self._calls_json(opening)
        yield from self._next_behind_space(*self.closings)


class CohereTextParser(CohereParser):
    """A parser of answers in which nothing is a call."""

    openings = _AROUND_CONTENT
    markers = frozenset(_AROUND_CONTENT)

    def __init__(self) -> None:
        super().__init__(ToolRules(tools=[]))
