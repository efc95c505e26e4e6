"""Parsers written as one run through an answer that waits where its text ends."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from typing_extensions import override

from mlxd.wire.parts import Reasoning, Text
from mlxd.worker.text.parsers.parser import Hidden, OutputParser, Parsed
from mlxd.worker.text.parsers.source import Source

T = TypeVar("T")
Steps = Generator[None, None, T]  # yields where it needs more text; never once the source is ended


class ScriptParser(OutputParser, ABC):
    """A parser whose subclass reads the answer from beginning to end in ``_script``, as if all of it were there.

    Its ``markers`` are one thing whether they come as text, cut anywhere, or as control tokens. What it reads is held in ``_source`` until
    it is shown or dropped, so that text which turns out to be no call is shown as it was written.
    """

    begins = frozenset()
    markers: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._source = Source()
        self._out: list[Parsed] = []
        self._warnings: list[str] = []
        self._steps = self._script()

    @property
    @override
    def warnings(self) -> Sequence[str]:
        return self._warnings

    @override
    def push(self, text: str) -> list[Parsed]:
        self._source.feed(text)
        return self._advance()

    @override
    def control(self, token: str) -> list[Parsed]:
        if token in self.markers:
            self._source.feed_control(token)
            return self._advance()
        self._source.is_settled = True
        parsed = self._advance()
        self._source.is_settled = False
        return [*parsed, Hidden(token)]

    @override
    def finish(self) -> list[Parsed]:
        self._source.is_ended = True
        return self._advance()

    @abstractmethod
    def _script(self) -> Steps[None]:
        """Reads an answer and calls ``_emit``."""

    def _advance(self) -> list[Parsed]:
        next(self._steps, None)
        out, self._out = self._out, []
        return out

    def _emit(self, *parsed: Parsed) -> None:
        self._out += parsed

    def _show(self) -> None:
        """Shows what is held as content, of which control tokens are none."""
        self._emit(*(Hidden(span.text) if span.is_control else Text(text=span.text) for span in self._source.release()))

    def _show_reasoning(self) -> None:
        self._emit(*(Hidden(span.text) if span.is_control else Reasoning(text=span.text) for span in self._source.release()))

    def _drop(self) -> None:
        """Drops what is held, which is part of something that is told otherwise."""
        self._source.release()

    # ---- what scripts are made of; all of it is held ----

    def _more(self) -> Steps[bool]:
        """Returns whether there is unread text; waits for it."""
        while not self._source.text and not self._source.is_ended:
            yield
        return bool(self._source.text)

    def _until(self, *markers: str) -> Steps[str | None]:
        """Reads up to the first of the markers and returns it, unread; None where the answer ends before."""
        while not (found := self._source.find(markers)):
            self._source.read(self._source.sure(markers))
            if self._source.is_ended:
                return None
            yield
        self._source.read(found.at)
        return found.marker

    def _next_is(self, *literals: str) -> Steps[str | None]:
        """Returns which of the literals comes next, of several the longest, and reads it; None where none does, and reads nothing."""
        while any(self._source.may_become(literal) for literal in literals):
            yield
        found = max((literal for literal in literals if self._source.text.startswith(literal)), key=len, default=None)
        self._source.read(len(found or ""))
        return found

    def _next_behind_space(self, *literals: str) -> Steps[str | None]:
        """Returns which of the literals comes next, maybe behind white space, and reads both; None where none does, and reads nothing."""
        while not (rest := self._source.text.lstrip()) or any(len(rest) < len(one) and one.startswith(rest) for one in literals):
            if self._source.is_ended:
                break
            yield
        found = max((literal for literal in literals if rest.startswith(literal)), key=len, default=None)
        if found is not None:
            self._source.read(len(self._source.text) - len(rest) + len(found))
        return found

    def _while(self, belongs: Callable[[str], bool]) -> Steps[str]:
        """Reads and returns the characters up to the first that does not belong."""
        taken = ""
        while (yield from self._more()):
            size = next((at for at, one in enumerate(self._source.text) if not belongs(one)), len(self._source.text))
            taken += self._source.read(size)
            if self._source.text:
                break
        return taken

    def _space(self) -> Steps[str]:
        """Reads and returns white space."""
        return (yield from self._while(str.isspace))
