"""The parser of Kimi K2's calls.

``<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{…}<|tool_call_end|>…
<|tool_calls_section_end|>``
"""

import re

from typing_extensions import override

from mlxd.wire.output_spec import ToolRules
from mlxd.worker.text.parsers.named_calls import NamedCallsParser
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

_SECTION_OPENS = ("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>")
_SECTION_CLOSES = ("<|tool_calls_section_end|>", "<|tool_call_section_end|>")
_CALL_OPENS = "<|tool_call_begin|>"
_ARGUMENTS_OPEN = "<|tool_call_argument_begin|>"
_CALL_CLOSES = "<|tool_call_end|>"
_ID = re.compile(r"(?:functions\.)?(?P<name>.+?)(?P<index>:\d+)?")


class KimiParser(NamedCallsParser):
    """A parser of sections of calls. The id that the model gives a call stays its id: in the next prompt it is all that names the function.

    A call without its section, or inside reasoning that was not closed, is one, too.
    """

    openings = (*_SECTION_OPENS, _CALL_OPENS)
    closings = (_CALL_CLOSES, *_SECTION_CLOSES)
    markers = frozenset({*openings, *closings, _ARGUMENTS_OPEN})
    interrupts = frozenset(openings)

    def __init__(self, rules: ToolRules) -> None:
        super().__init__(rules)
        self._only = rules.tools[0].name if len(rules.tools) == 1 else None

    @override
    def _call(self, opening: str) -> Steps[None]:
        yield from self._marked_calls(self._one, opening, _CALL_OPENS, *_SECTION_CLOSES)

    def _one(self, *markers: str) -> Steps[None]:
        """Reads one call, the beginning of which is read, and its end, which may lack."""
        call_id = (yield from self._while(lambda one: one != "<")).strip()
        if not (yield from self._next_is(_ARGUMENTS_OPEN)):
            raise MalformedCallError("no arguments follow its name")
        match = _ID.fullmatch(call_id)
        name = match["name"] if match else ""
        if name.isdigit() and self._only:
            name = self._only
        self._calls.propose_id(call_id if match and match["index"] else None)
        yield from self._arguments_object(name, *markers)
        yield from self._next_behind_space(_CALL_CLOSES)
