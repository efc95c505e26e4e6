"""The calls of one answer: their names, numbers and ids."""

import secrets
import string
from collections.abc import Callable

from mlxd.wire.output_spec import Tool, ToolRules
from mlxd.wire.parts import ToolCallArguments, ToolCallBegun

_LETTERS = string.ascii_letters + string.digits


def openai_id() -> str:
    """Returns an id in OpenAI's form."""
    return "call_" + _random(24)


def short_id() -> str:
    """Returns an id of nine letters and digits: what Mistral's templates ask for, and every other takes."""
    return _random(9)


def _random(size: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(size))


class Calls:
    """The calls that an answer made so far. A call of a tool that was not offered is none."""

    def __init__(self, rules: ToolRules, new_id: Callable[[], str] = openai_id) -> None:
        self._tools = {tool.name: tool for tool in rules.tools}
        self._is_parallel = rules.parallel
        self._new_id = new_id
        self._count = 0
        self._proposed: str | None = None
        self._ids: set[str] = set()

    @property
    def count(self) -> int:
        """Returns how many there are."""
        return self._count

    @property
    def is_full(self) -> bool:
        """Returns whether the request wants no more of them."""
        return self._count > 0 and not self._is_parallel

    def tool(self, name: str) -> Tool | None:
        """Returns the tool of that name, if it was offered."""
        return self._tools.get(name)

    def is_begun(self, text: str) -> bool:
        """Returns whether ``text`` may grow into the name of a tool that was offered."""
        return any(name.startswith(text) for name in self._tools)

    def propose_id(self, call_id: str | None) -> None:
        """Takes the id that the model gives the next call, if it gives one. No two calls of an answer have the same."""
        self._proposed = call_id

    def begin(self, name: str) -> ToolCallBegun:
        """Returns the beginning of the next call."""
        self._count += 1
        return ToolCallBegun(index=self._count - 1, id=self._next_id(), name=name)

    def arguments(self, text: str) -> ToolCallArguments:
        """Returns more of the arguments of the call that was begun last."""
        return ToolCallArguments(index=self._count - 1, text=text)

    def _next_id(self) -> str:
        proposed, self._proposed = self._proposed, None
        if proposed is None or proposed in self._ids:
            return self._new_id()
        self._ids.add(proposed)
        return proposed
