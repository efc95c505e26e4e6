"""The parser of models whose answers are nothing but text."""

from typing_extensions import override

from mlxd.wire.parts import text_parts
from mlxd.worker.text.parsers.parser import Hidden, OutputParser, Parsed


class PlainParser(OutputParser):
    """A parser that passes text through and hides control tokens."""

    begins = frozenset()
    warnings = ()

    @override
    def push(self, text: str) -> list[Parsed]:
        return [*text_parts(text)]

    @override
    def control(self, token: str) -> list[Parsed]:
        return [Hidden(token)]

    @override
    def finish(self) -> list[Parsed]:
        return []
