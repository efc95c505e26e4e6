"""Calls that nothing marks: an answer that begins with their JSON, or with a block of code that holds it."""

from typing_extensions import override

from mlxd.worker.text.parsers.json_calls import JsonCallsParser
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

_FENCE = "```"


class BareCallsParser(JsonCallsParser):
    """A parser of calls between markers, and of such without: models forget them, and some never write any.

    Without a marker only what an answer begins with is a call: an object, several of them with white space, ``;`` or ``,`` between, or an
    array, each of it as it is or in a block of code. It has no keys that a call has not, so that other JSON is content as it comes.
    """

    @override
    def _script(self) -> Steps[None]:
        yield from self._bare()
        yield from super()._script()

    def _bare(self) -> Steps[None]:
        """Reads the calls that the answer begins with."""
        yield from self._space()
        self.allows_other_keys = False
        while (yield from self._may_be_bare()):
            if not (yield from self._is_bare_call()):
                break
            yield from self._while(lambda one: one.isspace() or one in ";,")
        self.allows_other_keys = True
        if self._source.held.strip():
            self._read_content(0)

    def _may_be_bare(self) -> Steps[bool]:
        """Returns whether JSON or a block of code comes next, and no marker."""
        while any(self._source.may_become(opening) for opening in self.openings):
            yield
        return self._source.text[:1] in {"{", "[", "`"} and not self._source.text.startswith(self.openings)

    def _is_bare_call(self) -> Steps[bool]:
        """Reads what may be calls, and returns whether they are. What is no call is held."""
        try:
            yield from self._fenced_json()
        except MalformedCallError as error:
            if self._name:
                yield from self._degrade(str(error))
            return False
        self._drop()
        return True

    def _fenced_json(self, *markers: str) -> Steps[None]:
        """Reads calls that may stand in a block of code."""
        yield from self._space()
        fence = yield from self._next_is(_FENCE + "json", _FENCE)
        yield from self._space()
        yield from self._calls_json(*markers)
        if fence:
            yield from self._next_behind_space(_FENCE)
