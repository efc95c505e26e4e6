"""The parser of calls as Python writes them: Llama 4 and LFM2.

``[NAME(key="value", other=[1, None]), NAME()]``: between markers, or bare at the beginning of a line.
"""

import json
import re

from typing_extensions import override

from mlxd.wire.output_spec import ToolRules
from mlxd.worker.text.parsers.cursor import Cursor
from mlxd.worker.text.parsers.json_calls import JsonCallsParser
from mlxd.worker.text.parsers.literals import Literals
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

_BARE = ("[", "{")  # what a call without markers begins with
_LONGEST_NAME = 256  # characters of a name, and of a line's beginning that decides
_NAME = re.compile(r"[\w.\-]")
_LIST = re.compile(r"\[\s*(?P<name>[^\W\d][\w.\-]*)?(?P<space>\s*)(?P<opens>\()?")
_JSON = ('{"name":"', '[{"name":"')  # without white space
_LINE = re.compile(r"^[ \t]*(?=[\[{])", re.MULTILINE)


class PythonicParser(JsonCallsParser):
    """A parser of lists of calls with keywords. Some of its models write JSON at times, which is read in the same places."""

    openings = ("<|tool_call_start|>", "<|python_start|>")
    closings = ("<|tool_call_end|>", "<|python_end|>")
    markers = frozenset({*openings, *closings})
    interrupts = frozenset(openings)

    def __init__(self, rules: ToolRules) -> None:
        super().__init__(rules)
        self._cursor = Cursor(self._source)
        self._is_line_start = True

    @override
    def _call(self, opening: str) -> Steps[None]:
        markers = () if opening in _BARE else (opening,)
        first = yield from self._cursor.skip_space()
        if first == "{" or (first == "[" and (yield from self._is_json_list())):
            yield from self._calls_json(*markers)
        else:
            yield from self._list(*markers)
        self._is_line_start = True
        if markers:
            yield from self._next_behind_space(*self.closings)

    def _is_json_list(self) -> Steps[bool]:
        return (yield from self._cursor.peek(1, 1 + (yield from self._cursor.space(1)))) == "{"

    # ---- lists of calls ----

    def _list(self, *markers: str) -> Steps[None]:
        """Reads a list of calls, the brackets of which may lack."""
        yield from self._next_is("[")
        yield from self._function(*markers)
        while (yield from self._cursor.skip_space()) == ",":
            self._cursor.skip()
            if (yield from self._cursor.skip_space()) != "]":
                yield from self._function()
        yield from self._next_is("]")

    def _function(self, *markers: str) -> Steps[None]:
        yield from self._space()
        name = yield from self._while(lambda one: _NAME.match(one) is not None)
        if (yield from self._cursor.skip_space()) != "(":
            raise MalformedCallError("no name and arguments follow")
        self._cursor.skip()
        if (yield from self._cursor.skip_space()) != ")" and not (yield from self._is_keyword(0)):
            raise MalformedCallError("its arguments have no keywords, or are cut off")
        self._begin(name, *markers)
        yield from self._arguments()
        self._end()

    def _arguments(self) -> Steps[None]:
        opening = "{"
        while (yield from self._cursor.skip_space()) != ")":
            if not (yield from self._is_keyword(0)):
                raise MalformedCallError("an argument has no keyword, or is cut off")
            key = yield from self._while(lambda one: one.isalnum() or one == "_")
            self._cursor.skip(1 + (yield from self._cursor.space()))
            self._argue(opening + json.dumps(key, ensure_ascii=False) + ": ")
            yield from Literals(self._cursor, self._argue).value(self._closes)
            opening = ", "
            yield from self._comma()
        self._cursor.skip()
        self._argue("}" if opening == ", " else "")

    def _comma(self) -> Steps[None]:
        behind = yield from self._cursor.skip_space()
        if behind == ",":
            self._cursor.skip()
        elif behind != ")":
            raise MalformedCallError("it is cut off" if not behind else "neither a comma nor the end follows an argument")

    def _is_keyword(self, ahead: int) -> Steps[bool]:
        """Returns whether a keyword and its ``=`` are there, ``ahead`` characters from here."""
        size = 0
        while (one := (yield from self._cursor.peek(1, ahead + size))) and (one.isalnum() or one == "_") and size < _LONGEST_NAME:
            size += 1
        behind = ahead + size + (yield from self._cursor.space(ahead + size))
        return size > 0 and (yield from self._cursor.peek(1, behind)) == "=" and (yield from self._cursor.peek(1, behind + 1)) != "="

    def _closes(self, ahead: int) -> Steps[bool]:
        """Returns whether a quote ends its argument, by what follows it: the models forget to escape the quotes inside."""
        ahead += yield from self._cursor.space(ahead)
        behind = yield from self._cursor.peek(1, ahead)
        if behind not in {",", ")"}:
            return not behind
        ahead += 1
        ahead += yield from self._cursor.space(ahead)
        if behind == "," and (yield from self._is_keyword(ahead)):
            return True
        return (yield from self._cursor.peek(1, ahead)) in ({"", ")"} if behind == "," else {"", ",", "]", "<"})

    # ---- calls without markers ----

    @override
    def _opening(self) -> str | None:
        while True:
            found = self._source.find(self.openings)
            at = self._bare(found.at if found else len(self._source.text))
            if at is None and found is None:
                return super()._opening()
            if at is None and found:
                if opening := self._unless_example(found):
                    return opening
                continue
            if at:
                self._read_content(at)
            is_call = self._is_bare_call(0)
            if is_call is None and not self._source.is_ended and not self._source.is_settled:
                return None
            if is_call and not self._fences.is_code:
                return self._source.text[0]
            self._read_content(1)

    def _bare(self, end: int) -> int | None:
        """Returns where before ``end`` the first line begins that may be a call."""
        for line in _LINE.finditer(self._source.text, 0, end):
            if (line.start() or self._is_line_start) and self._is_bare_call(line.end()) is not False:
                return line.end()
        return None

    def _is_bare_call(self, at: int) -> bool | None:
        """Returns whether a call begins there; None where that depends on what follows."""
        text = self._source.text[at : at + _LONGEST_NAME]
        verdicts = {self._is_bare_list(text), self._is_bare_json("".join(text.split()))}
        return True in verdicts or (None if None in verdicts else False)

    def _is_bare_list(self, text: str) -> bool | None:
        match = _LIST.match(text)
        if match is None:
            return False
        name = match["name"]
        if match["opens"]:
            return name is not None and self._calls.tool(name) is not None
        if match.end() < len(text) or len(text) == _LONGEST_NAME:
            return False
        return None if name is None or self._calls.is_begun(name) else False

    def _is_bare_json(self, text: str) -> bool | None:
        for begins in _JSON:
            if text.startswith(begins):
                name, quote, _ = text.removeprefix(begins).partition('"')
                return self._calls.tool(name) is not None if quote else (None if self._calls.is_begun(name) else False)
            if begins.startswith(text):
                return None
        return False

    @override
    def _read_content(self, size: int) -> None:
        self._source.read(size)
        _, newline, line = self._source.held.rpartition("\n")
        self._is_line_start = not line.strip() and (bool(newline) or self._is_line_start)
        super()._read_content(0)
