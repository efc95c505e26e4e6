"""The parser of calls that are mostly bare JSON: Llama 3, Granite, Phi-4, and models that were only told to write JSON.

Llama 3 writes ``<|python_tag|>{"name": "f", "parameters": {…}}``, with ``;`` between calls, or the same without the marker, or
``<function=f>{…}</function>``; Phi-4 and Granite write an array behind ``<|tool_call|>``, Phi-4 mini also behind ``functools``.
"""

from typing_extensions import override

from mlxd.worker.text.parsers.bare_calls import BareCallsParser
from mlxd.worker.text.parsers.script import Steps

_FUNCTION = "<function="
_ARRAY = "functools["


class JsonParser(BareCallsParser):
    """A parser of JSON objects behind any of the markers, or behind none."""

    openings = ("<|python_tag|>", "<|tool_call|>", "<tool_call>", _FUNCTION, _ARRAY)
    closings = ("<|/tool_call|>", "</tool_call>", "</function>")
    markers = frozenset({"<|python_tag|>", "<|tool_call|>", "<tool_call>", *closings})

    @override
    def _call(self, opening: str) -> Steps[None]:
        if opening == _FUNCTION:
            yield from self._function(opening)
        elif opening == _ARRAY:
            yield from self._array(opening)
        else:
            yield from self._fenced_json(opening)
            yield from self._more_objects()
        yield from self._next_behind_space(*self.closings)

    def _function(self, opening: str) -> Steps[None]:
        name = yield from self._while(lambda one: one not in ">{<\n")
        yield from self._require(">")
        yield from self._arguments_object(name.strip(), opening)

    def _more_objects(self) -> Steps[None]:
        while (yield from self._next_behind_space(";", ",")) or (yield from self._is_next_object()):
            yield from self._space()
            yield from self._calls_json()

    def _is_next_object(self) -> Steps[bool]:
        yield from self._space()
        return (yield from self._more()) and self._source.text[0] == "{"
