"""Calls of tools in a conversation so far, as a chat template wants them.

Each call gets an id where it has none, and each result the id and the name of its call, so that every template can tell which is whose.
"""

from collections.abc import Sequence

import msgspec

from mlxd.types import ToolCall

MAX_CALLS = 1024  # of one message


class OpenCalls:
    """The calls that were made last, for the results that follow. ``turn`` in an id is the place of the message that made the call."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []
        self._known: dict[str, ToolCall] = {}

    def made(self, calls: Sequence[ToolCall], turn: int) -> list[ToolCall]:
        """Returns the calls, each with an id: an empty one is replaced."""
        self._open = [msgspec.structs.replace(call, id=call.id or f"call_{turn}_{number}") for number, call in enumerate(calls)]
        self._known |= {call.id: call for call in self._open}
        return self._open

    def answered(self, identity: str | None, name: str | None) -> ToolCall | None:
        """Returns the call whose result it is: that with the id, or else the first without a result, of this name if there is one; None
        where nothing was called.
        """
        found = self._known.get(identity) if identity else self._next(name)
        if found is not None:
            self._open = [call for call in self._open if call is not found]
        return found

    def _next(self, name: str | None) -> ToolCall | None:
        named = [call for call in self._open if call.name == name]
        return next(iter(named or self._open), None)
