"""The parser of models whose answers are nothing but text."""

from typing_extensions import override

from mlxd.wire.parts import Part, text_parts
from mlxd.worker.text.parsers.parser import OutputParser


class PlainParser(OutputParser):
    """Passes text through."""

    @override
    def push(self, text: str) -> list[Part]:
        return text_parts(text)

    @override
    def finish(self) -> list[Part]:
        return []
