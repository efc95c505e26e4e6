"""Calls written as JSON objects, {"name": …, "arguments": {…}}."""

import json
from dataclasses import dataclass
from typing import Any

from mlxd.worker.text.parsers.json_scanner import JsonScanner
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError, ToolsParser


@dataclass
class _Draft:
    """A call's object as far as it is read."""

    name: str | None = None
    arguments: str | None = None  # read, not told yet
    is_told: bool = False


class JsonCallsParser(ToolsParser):
    """A parser of calls that are JSON objects. Their members may come in any order; those that say nothing of the call are skipped.

    A call is told once its arguments begin to be a JSON object, and then streams.
    """

    names: tuple[str, ...] = ("name", "function")
    keys: tuple[str, ...] = ("arguments", "parameters")

    def _calls_json(self, *markers: str) -> Steps[None]:
        """Reads one call's object or an array of them, which follow ``markers``."""
        if not (yield from self._next_is("[")):
            yield from self._object(markers)
            return
        yield from self._space()
        while not (yield from self._next_is("]")):
            yield from self._object(markers)
            yield from self._space()
            if not (yield from self._next_is(",")):
                yield from self._next_is("]")  # every call is whole, so an array without its end loses nothing
                return
            yield from self._space()

    def _object(self, markers: tuple[str, ...]) -> Steps[None]:
        """Reads one call's object."""
        yield from self._require("{")
        draft = _Draft()
        yield from self._space()
        while not (yield from self._next_is("}")):
            yield from self._member(draft, markers)
            yield from self._space()
            if not (yield from self._next_is(",")):
                if not (yield from self._next_is("}")) and not draft.is_told:
                    raise MalformedCallError("its JSON is malformed, or cut off")
                break
            yield from self._space()
        self._finish_object(draft, markers)

    def _finish_object(self, draft: _Draft, markers: tuple[str, ...]) -> None:
        if draft.name is None:
            raise MalformedCallError("it has no name")
        if not draft.is_told:
            self._begin(draft.name, *markers)
            self._argue(draft.arguments or "")
        self._end()

    def _member(self, draft: _Draft, markers: tuple[str, ...]) -> Steps[None]:
        key = yield from self._json_value()
        if not isinstance(key, str):
            raise MalformedCallError("its JSON is malformed")
        yield from self._space()
        yield from self._require(":")
        yield from self._space()
        is_object = yield from self._is_object()
        if is_object and key in self.keys and draft.name is not None and draft.arguments is None and not draft.is_told:
            yield from self._stream(draft, draft.name, markers)
        else:
            yield from self._keep(draft, key)

    def _is_object(self) -> Steps[bool]:
        return (yield from self._more()) and self._source.text[0] == "{"

    def _keep(self, draft: _Draft, key: str) -> Steps[None]:
        """Reads a member that does not stream."""
        value = yield from self._json_value()
        if key in self.names and isinstance(value, dict):
            self._keep_function(draft, value)
        elif key in self.names and draft.name is None and isinstance(value, str):
            self._require_offered(value)
            draft.name = value
        elif key in self.keys and draft.arguments is None and not draft.is_told:
            draft.arguments = _arguments(value)

    def _keep_function(self, draft: _Draft, function: dict[str, Any]) -> None:
        """Takes a call in OpenAI's own form, {"function": {"name": …, "arguments": …}}."""
        for key, value in function.items():
            if key == "name" and draft.name is None and isinstance(value, str):
                draft.name = value
            elif key in self.keys and draft.arguments is None:
                draft.arguments = _arguments(value)

    def _stream(self, draft: _Draft, name: str, markers: tuple[str, ...]) -> Steps[None]:
        """Reads the arguments of a call whose name is known, and tells them as they come."""
        scanner, ready = JsonScanner(), ""
        while not scanner.is_done:
            if not (yield from self._more()):
                raise MalformedCallError("they are cut off")
            size, text = scanner.push(self._source.text)
            self._source.read(size)
            ready += text
            if not draft.is_told and ready[1:].strip():
                draft.is_told = True
                self._begin(name, *markers)
            if draft.is_told:
                self._argue(ready)
                ready = ""
            if scanner.is_broken:
                raise MalformedCallError("its JSON is malformed")

    # ---- JSON ----

    def _require(self, literal: str) -> Steps[None]:
        if not (yield from self._next_is(literal)):
            raise MalformedCallError(f"{literal!r} is missing" if self._source.text else "it is cut off")

    def _json_value(self) -> Steps[Any]:
        """Reads a whole JSON value and returns it."""
        scanner, written = JsonScanner(), ""
        while not scanner.is_done:
            if not (yield from self._more()):
                raise MalformedCallError("it is cut off")
            size, text = scanner.push(self._source.text)
            self._source.read(size)
            written += text
            if scanner.is_broken:
                raise MalformedCallError("its JSON is malformed")
        return _loads(written)


def _arguments(value: Any) -> str:
    """Returns the JSON text of a call's arguments, which may be an object, the text of one, or nothing."""
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):
        value = _loads(value)
    if not isinstance(value, dict):
        raise MalformedCallError("its arguments are no JSON object")
    return json.dumps(value, ensure_ascii=False)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedCallError("its JSON is malformed") from error
