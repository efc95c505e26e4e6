"""The parser of Qwen3-Coder's calls, which Qwen 3.5 and Nemotron 3 write too.

``<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>``, with a new line behind and before every tag.
"""

from typing_extensions import override

from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tagged import TaggedParser
from mlxd.worker.text.parsers.typed_values import FramedValue


class QwenXmlParser(TaggedParser):
    """A parser of functions in tags. The models forget ``<tool_call>`` at times: a function of the request's tools is a call without it."""

    openings = ("<tool_call>", "<function=")
    closings = ("</tool_call>",)
    markers = frozenset({"<tool_call>", "</tool_call>"})

    section_closes = "</tool_call>"
    function_opens = "<function="
    function_closes = "</function>"
    parameter_opens = "<parameter="
    value_closes = "</parameter>"
    value_type = FramedValue

    @override
    def _call(self, opening: str) -> Steps[None]:
        if opening != self.function_opens:
            yield from self._section(opening)
            return
        head = yield from self._tail(self.function_tail, ">")
        yield from self._parameters(head["name"], opening)
        yield from self._more_functions()
