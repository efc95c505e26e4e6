"""Two parsers as one: reasoning outside, calls inside."""

from collections.abc import Sequence

from typing_extensions import override

from mlxd.wire.parts import Text
from mlxd.worker.text.parsers.parser import Hidden, OutputParser, Parsed


class ComposedParser(OutputParser):
    """A parser of which ``outer`` tells reasoning from the rest, and ``inner`` reads the rest."""

    def __init__(self, outer: OutputParser, inner: OutputParser) -> None:
        self._outer, self._inner = outer, inner
        self.begins = outer.begins

    @property
    @override
    def warnings(self) -> Sequence[str]:
        return [*self._outer.warnings, *self._inner.warnings]

    @override
    def push(self, text: str) -> list[Parsed]:
        return self._pass(self._outer.push(text))

    @override
    def control(self, token: str) -> list[Parsed]:
        return self._pass(self._outer.control(token))

    @override
    def finish(self) -> list[Parsed]:
        return [*self._pass(self._outer.finish()), *self._inner.finish()]

    def _pass(self, parsed: list[Parsed]) -> list[Parsed]:
        return [told for one in parsed for told in self._read(one)]

    def _read(self, one: Parsed) -> list[Parsed]:
        if isinstance(one, Text):
            return self._inner.push(one.text)
        if isinstance(one, Hidden):
            return [one if told == Hidden(one.text) else told for told in self._inner.control(one.text)]
        return [one]
