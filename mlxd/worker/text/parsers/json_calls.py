"""Calls written as JSON objects, {"name": …, "arguments": {…}}."""

import json
from dataclasses import dataclass
from typing import Any

from mlxd.worker.text.parsers.json_scanner import JsonScanner
from mlxd.worker.text.parsers.named_calls import NamedCallsParser
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

_OTHER_KEYS = ("type", "id", "tool_call_id")  # that a call may have and say nothing here


@dataclass
class _Draft:
    """A call's object as far as it is read."""

    name: str | None = None
    arguments: str | None = None  # read, not told yet
    other_key: str | None = None  # of a member that may be arguments under another name
    is_told: bool = False


class JsonCallsParser(NamedCallsParser):
    """A parser of calls that are JSON objects. Their members may come in any order; those that say nothing of the call are skipped."""

    names: tuple[str, ...] = ("name", "function")
    keys: tuple[str, ...] = ("arguments", "parameters")
    allows_other_keys = True  # and objects without arguments

    def _calls_json(self, *markers: str) -> Steps[None]:
        """Reads one call's object or an array of them, which follow ``markers``."""
        if (yield from self._next_is("[")):
            yield from self._array(*markers)
        else:
            yield from self._object(markers)

    def _array(self, *markers: str) -> Steps[None]:
        """Reads an array whose bracket is read. One without its end loses nothing, as every call in it is whole."""
        yield from self._space()
        while True:
            yield from self._object(markers)
            if not (yield from self._next_behind_space(",")):
                yield from self._next_behind_space("]")
                return
            yield from self._space()

    def _object(self, markers: tuple[str, ...]) -> Steps[None]:
        """Reads one call's object."""
        yield from self._require("{")
        draft = _Draft()
        yield from self._space()
        while not (yield from self._next_is("}")):
            yield from self._member(draft, markers)
            if not (yield from self._next_behind_space(",")):
                if not (yield from self._next_behind_space("}")) and not draft.is_told:
                    raise MalformedCallError("its JSON is malformed, or cut off")
                break
            yield from self._space()
        self._finish_object(draft, markers)

    def _finish_object(self, draft: _Draft, markers: tuple[str, ...]) -> None:
        if draft.name is None:
            raise MalformedCallError("it has no name")
        if draft.arguments is None and not draft.is_told:
            self._require_no_arguments(draft)
        if not draft.is_told:
            self._begin(draft.name, *markers)
            self._argue(draft.arguments or "")
            self._end()
        self._drop()

    def _require_no_arguments(self, draft: _Draft) -> None:
        if draft.other_key is not None:
            raise MalformedCallError(f"{draft.other_key!r} is no part of a call")
        if not self.allows_other_keys:
            raise MalformedCallError("it has no arguments")

    def _member(self, draft: _Draft, markers: tuple[str, ...]) -> Steps[None]:
        key = yield from self._json_text()
        if not key.startswith('"'):
            raise MalformedCallError("its JSON is malformed")
        yield from self._space()
        yield from self._require(":")
        yield from self._space()
        yield from self._read_member(draft, _loads(key), markers)

    def _read_member(self, draft: _Draft, key: str, markers: tuple[str, ...]) -> Steps[None]:
        is_object = (yield from self._more()) and self._source.text[0] == "{"
        if not self.allows_other_keys and key not in {*self.names, *self.keys, *_OTHER_KEYS}:
            raise MalformedCallError(f"{key!r} is no part of a call")
        if is_object and key in self.keys and draft.name is not None and draft.arguments is None and not draft.is_told:
            yield from self._arguments_object(draft.name, *markers)
            draft.is_told = True
        else:
            self._keep(draft, key, (yield from self._json_text()))

    def _keep(self, draft: _Draft, key: str, text: str) -> None:
        """Takes a member that does not stream."""
        if key in self.names and text.startswith("{"):
            self._keep_function(draft, _loads(text))
        elif key in self.names and draft.name is None:
            draft.name = self._name_in(text)
        elif key in self.keys and draft.arguments is None and not draft.is_told:
            draft.arguments = _arguments(text)
        elif key not in {*self.names, *self.keys, *_OTHER_KEYS}:
            draft.other_key = key

    def _name_in(self, text: str) -> str:
        name = _loads(text)
        if not isinstance(name, str):
            raise MalformedCallError("its name is no string")
        self._require_offered(name)
        return name

    def _keep_function(self, draft: _Draft, function: dict[str, Any]) -> None:
        """Takes a call in OpenAI's own form, {"function": {"name": …, "arguments": …}}."""
        for key, value in function.items():
            if key in self.names and draft.name is None and isinstance(value, str):
                draft.name = value
            elif key in self.keys and draft.arguments is None:
                draft.arguments = _arguments(json.dumps(value, ensure_ascii=False))
            elif key not in {*self.names, *self.keys, *_OTHER_KEYS}:
                draft.other_key = key

    # ---- JSON ----

    def _require(self, literal: str) -> Steps[None]:
        if not (yield from self._next_is(literal)):
            raise MalformedCallError(f"{literal!r} is missing" if self._source.text else "it is cut off")

    def _json_text(self) -> Steps[str]:
        """Reads a whole JSON value and returns it as it is to be told."""
        scanner, written = JsonScanner(), ""
        while not scanner.is_done:
            if scanner.is_broken:
                raise MalformedCallError("its JSON is malformed")
            written += yield from self._scan(scanner)
        return written


def _arguments(text: str) -> str:
    """Returns the JSON text of a call's arguments, which may be an object, the text of one, or nothing."""
    value = _loads(text)
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):
        text, value = value, _loads(value)
    if not isinstance(value, dict):
        raise MalformedCallError("its arguments are no JSON object")
    return text


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedCallError("its JSON is malformed") from error
