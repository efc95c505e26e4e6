"""The parsers of Gemma: FunctionGemma's and Gemma 4's calls, and Gemma 4's channels.

``<start_function_call>call:NAME{key:<escape>text<escape>,other:1}<end_function_call>``; Gemma 4 has other markers around the same.
"""

import re

from typing_extensions import override

from mlxd.wire.output_spec import ToolRules
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.blocks import BlockParser, CallsInside
from mlxd.worker.text.parsers.cursor import Cursor
from mlxd.worker.text.parsers.gemma_values import DELIMITERS, GemmaValues
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError, ToolsParser
from mlxd.worker.text.shape_rules import Markers

_CHANNEL = Markers("<|channel>", "<channel|>")
_CALL = "call:"
_NAME = re.compile(r"[\w.\-]", re.ASCII)
_RESPONSES = ("<start_function_response>", "<|tool_response>")  # with which the result would begin: the models write them, and stop


class GemmaParser(ToolsParser):
    """A parser of one or several calls between two markers."""

    openings = ("<start_function_call>", "<|tool_call>")
    closings = ("<end_function_call>", "<tool_call|>")
    markers = frozenset({*openings, *closings, *DELIMITERS, *_RESPONSES})
    interrupts = frozenset(openings)

    def __init__(self, rules: ToolRules) -> None:
        super().__init__(rules)
        self._cursor = Cursor(self._source)

    @override
    def _call(self, opening: str) -> Steps[None]:
        if not (yield from self._next_behind_space(_CALL)):
            raise MalformedCallError("no name follows")
        yield from self._function(opening)
        while (yield from self._next_behind_space(_CALL)):
            yield from self._function()
        yield from self._next_behind_space(*self.closings)
        yield from self._next_behind_space(*_RESPONSES)

    def _function(self, *markers: str) -> Steps[None]:
        yield from self._space()
        name = yield from self._while(lambda one: _NAME.match(one) is not None)
        yield from self._space()
        opening = yield from self._next_is("{", "(")
        if not opening:
            raise MalformedCallError("no arguments follow its name")
        yield from self._arguments(name, opening, *markers)

    def _arguments(self, name: str, opening: str, *markers: str) -> Steps[None]:
        if not (yield from self._cursor.skip_space()):
            raise MalformedCallError("it is cut off")
        self._begin(name, *markers)
        yield from GemmaValues(self._cursor, self._argue).members({"{": "}", "(": ")"}[opening])
        self._end()


class GemmaChannelParser(BlockParser):
    """A parser of reasoning in the channel "thought" of Gemma 4."""

    def __init__(self, opening: Opening = Opening.NONE, calls: CallsInside | None = None) -> None:
        super().__init__(_CHANNEL, opening, calls)

    @override
    def _mark(self, marker: str) -> Steps[None]:
        if marker == _CHANNEL.opens:
            yield from self._next_is("thought")
        yield from super()._mark(marker)
