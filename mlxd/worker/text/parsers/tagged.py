"""What the parsers of calls share that have a tag around every argument."""

import json
import re

from mlxd.wire.output_spec import Tool, ToolRules
from mlxd.worker.text.parsers.cursor import Cursor
from mlxd.worker.text.parsers.json_calls import JsonCallsParser
from mlxd.worker.text.parsers.schema_kinds import CONTAINERS, STRING, Kinds, kinds_taken, parameter_kinds
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError
from mlxd.worker.text.parsers.typed_values import TypedValue

NAME = r"\s*[\"']?(?P<name>[^>\"'\n]+?)[\"']?\s*"  # in a tag, with or without quotes

_LONGEST_HEAD = 512  # characters of a tag with its name


class TaggedParser(JsonCallsParser):
    """A parser of functions with parameters, each between tags. Values have no quotes: the tool's schema says what they are. Where the
    first tag is followed by JSON, as models write at times that have learned both, that is read.

    What ends a value may also stand in it, for example where a file is written that shows a call. It ends it only where the next parameter
    or the end of the function follows; and inside a function that the value itself shows, only where no more of the value can follow.
    """

    section_closes: str  # where all of a section of calls ends
    function_opens: str  # what a function's head begins with
    function_tail: re.Pattern[str] = re.compile(f"{NAME}>")  # the rest of it, with a group "name"
    function_closes: str
    parameter_opens: str  # what a parameter's head begins with
    parameter_tail: re.Pattern[str] = function_tail  # the rest of it, with a group "name"
    parameter_tail_ends: str = ">"
    value_closes: str
    unknown: Kinds = STRING  # what parameters are that the tool does not have
    untyped: Kinds = STRING | CONTAINERS  # what parameters are of whose values the schema says nothing
    value_type: type[TypedValue] = TypedValue

    def __init__(self, rules: ToolRules) -> None:
        super().__init__(rules)
        self._cursor = Cursor(self._source)

    # ---- functions ----

    def _section(self, opening: str) -> Steps[None]:
        """Reads the functions of a section, which ``opening`` began and which has one at least."""
        if (yield from self._cursor.skip_space()) in ["{", "["]:
            yield from self._json_section(opening)
            return
        head = yield from self._head(self.function_opens, self.function_tail, ">")
        if head is None:
            raise MalformedCallError("no function follows")
        yield from self._parameters(head["name"], opening)
        yield from self._more_functions()

    def _json_section(self, opening: str) -> Steps[None]:
        """Reads JSON up to the end of its section, which may lack."""
        yield from self._calls_json(opening)
        yield from self._next_behind_space(self.section_closes)

    def _more_functions(self) -> Steps[None]:
        """Reads the further functions of a section, and its end, which may lack."""
        while (yield from self._next_behind_space(self.function_opens)):
            head = yield from self._tail(self.function_tail, ">")
            yield from self._parameters(head["name"])
        if not (yield from self._next_behind_space(self.section_closes)) and self._source.is_ended:
            self._read_cut_off()

    def _parameters(self, name: str, *markers: str) -> Steps[None]:
        """Reads the parameters of the function ``name``, and its end. A call is told when its first parameter or its end is there."""
        self._require_offered(name)
        yield from self._space()
        if not (yield from self._cursor.is_next(self.parameter_opens)) and not (yield from self._cursor.is_next(self.function_closes)):
            raise MalformedCallError("neither a parameter nor the end of the function follows its name")
        self._begin(name, *markers)
        given: set[str] = set()
        while head := (yield from self._head(self.parameter_opens, self.parameter_tail, self.parameter_tail_ends)):
            yield from self._parameter(head, given)
            yield from self._space()
        yield from self._function_end()
        self._argue("}" if given else "")
        self._end()

    def _function_end(self) -> Steps[None]:
        if not (yield from self._next_is(self.function_closes)) and not (yield from self._cursor.is_next(self.section_closes)):
            raise MalformedCallError("it has no end")

    # ---- parameters ----

    def _parameter(self, head: re.Match[str], given: set[str]) -> Steps[None]:
        name = head["name"]
        self._argue(("{" if not given else ", ") + json.dumps(name, ensure_ascii=False) + ": ")
        given.add(name)
        value = self.value_type(self._kinds(head))
        yield from self._value(value, given)
        self._argue(value.end())
        if value.is_broken:
            raise MalformedCallError(f"the argument {name!r} ceases to be JSON")
        if value.is_odd:
            self._warn(f"the argument {name!r} of the call of {self._name!r} is of none of its schema's types, and stays text")

    def _tell(self, text: str) -> None:
        """Tells more of the arguments; what is undecided stays held."""
        if text:
            self._argue(text)

    def _tool(self) -> Tool | None:
        return self._calls.tool(self._name)

    def _kinds(self, head: re.Match[str]) -> Kinds:
        return kinds_taken(self._tool(), head["name"], unknown=self.unknown, untyped=self.untyped)

    def _value(self, value: TypedValue, given: set[str]) -> Steps[None]:
        """Reads a value and what ends it."""
        depth = 0  # of functions that the value shows
        while True:
            found = yield from self._pass_until(value, self.value_closes, self.function_opens, self.function_closes)
            if found is None:
                self._argue(value.cut_off())
                raise MalformedCallError("it is cut off")
            if found == self.value_closes and (yield from self._ends(depth, given)):
                self._source.read(len(found))
                return
            if found == self.function_closes and depth == 0 and (yield from self._is_last(len(found))):
                return  # the models forget to close the last value
            depth = max(0, depth + (found == self.function_opens) - (found == self.function_closes))
            self._tell(value.push(self._source.read(len(found))))

    def _pass_until(self, value: TypedValue, *markers: str) -> Steps[str | None]:
        """Passes on the value's text before the first of the markers and returns it, unread; None where the answer ends before."""
        while True:
            found = self._source.find(markers)
            if size := found.at if found else self._source.sure(markers):
                self._tell(value.push(self._source.read(size)))
            if found or self._source.is_ended:
                return found.marker if found else None
            yield

    def _ends(self, depth: int, given: set[str]) -> Steps[bool]:
        """Returns whether the tag here, behind which nothing is read yet, ends the value."""
        ahead = len(self.value_closes)
        ahead += yield from self._cursor.space(ahead)
        if (yield from self._cursor.is_next(self.parameter_opens, ahead)):
            return depth == 0 or (yield from self._is_expected(ahead, given))
        if (yield from self._cursor.is_next(self.function_closes, ahead)):
            return depth == 0 or (yield from self._is_last(ahead + len(self.function_closes)))
        if (yield from self._cursor.is_next(self.section_closes, ahead)):
            return depth == 0
        return self._is_cut_off(ahead)

    def _is_expected(self, ahead: int, given: set[str]) -> Steps[bool]:
        """Returns whether the parameter there is one of the tool's that it still lacks."""
        head = yield from self._tail_ahead(self.parameter_tail, self.parameter_tail_ends, ahead + len(self.parameter_opens))
        return head is not None and head["name"] not in given and parameter_kinds(self._tool(), head["name"]) is not None

    def _is_last(self, ahead: int) -> Steps[bool]:
        """Returns whether the answer ends with the function that ends there: one that the value shows would have something behind it."""
        ahead += yield from self._cursor.space(ahead)
        if self.section_closes != self.function_closes and (yield from self._cursor.is_next(self.section_closes, ahead)):
            ahead += len(self.section_closes)
            ahead += yield from self._cursor.space(ahead)
        return self._is_cut_off(ahead)

    # ---- tags ----

    def _head(self, opens: str, tail: re.Pattern[str], ends: str) -> Steps[re.Match[str] | None]:
        """Reads a tag with a name; None where another thing comes next."""
        if not (yield from self._next_is(opens)):
            return None
        return (yield from self._tail(tail, ends))

    def _tail(self, tail: re.Pattern[str], ends: str) -> Steps[re.Match[str]]:
        """Reads what follows the beginning of a tag."""
        head = yield from self._tail_ahead(tail, ends, 0)
        if head is None:
            raise MalformedCallError("a tag is not as it should be, or cut off")
        self._source.read(head.end())
        return head

    def _tail_ahead(self, tail: re.Pattern[str], ends: str, ahead: int) -> Steps[re.Match[str] | None]:
        while ends not in self._source.text[ahead:] and len(self._source.text) - ahead < _LONGEST_HEAD and not self._source.is_ended:
            yield
        return tail.match(self._source.text, ahead)

    def _read_cut_off(self) -> None:
        """Reads the end of the answer where it is inside a tag."""
        rest = self._source.text.lstrip()
        if self._is_cut_off(len(self._source.text) - len(rest)):
            self._source.read(len(self._source.text))

    def _is_cut_off(self, ahead: int) -> bool:
        """Returns whether the answer ends inside a tag there."""
        rest = self._source.text[ahead:]
        return self._source.is_ended and any(
            tag.startswith(rest) for tag in (self.parameter_opens, self.function_closes, self.section_closes)
        )
