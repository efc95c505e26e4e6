"""The parser of calls in tags: Hermes 2 Pro and later, Qwen 2.5 and 3, and many that follow them.

``<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>``, once for each call. Qwen2.5-Coder often leaves the tags out.
"""

from typing_extensions import override

from mlxd.worker.text.parsers.bare_calls import BareCallsParser
from mlxd.worker.text.parsers.script import Steps


class HermesParser(BareCallsParser):
    """A parser of JSON objects in tags. A tag may hold several objects, an array of them, or a block of code with them; it may be doubled,
    and may lack its end where the next begins or the answer ends. Braces too many behind an object are dropped.
    """

    openings = ("<tool_call>",)
    closings = ("</tool_call>",)
    markers = frozenset({*openings, *closings})

    @override
    def _call(self, opening: str) -> Steps[None]:
        while (yield from self._next_behind_space(*self.openings)):
            pass
        yield from self._fenced_json(opening)
        while not (yield from self._closes()):
            yield from self._calls_json()
        while (yield from self._next_behind_space(*self.closings)):
            pass

    def _closes(self) -> Steps[bool]:
        """Returns whether the tag ends here, which it reads; false where another object follows."""
        yield from self._while(lambda one: one.isspace() or one == "}")
        if (yield from self._next_is(*self.closings)) or not self._source.text:
            return True
        if self._source.is_ended and self.closings[0].startswith(self._source.text):
            self._source.read(len(self._source.text))
            return True
        if self._source.text[0] in "{[":
            return False
        while any(self._source.may_become(opening) for opening in self.openings):
            yield
        if not self._source.text.startswith(self.openings):
            self._warn("text between a call and the end of its tag is content")
        return True
