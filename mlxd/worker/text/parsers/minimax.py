"""The parser of MiniMax M2's calls.

``<minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke></minimax:tool_call>``, with new lines between.
"""

from typing_extensions import override

from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tagged import TaggedParser


class MinimaxParser(TaggedParser):
    """A parser of sections of invocations in tags."""

    openings = ("<minimax:tool_call>",)
    closings = ("</minimax:tool_call>",)
    markers = frozenset({"<minimax:tool_call>", "</minimax:tool_call>"})

    section_closes = "</minimax:tool_call>"
    function_opens = "<invoke name="
    function_closes = "</invoke>"
    parameter_opens = "<parameter name="
    value_closes = "</parameter>"

    @override
    def _call(self, opening: str) -> Steps[None]:
        yield from self._section(opening)
