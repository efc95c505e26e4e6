"""The parser of models that think between two control tokens."""

from typing_extensions import override

from mlxd.wire.parts import Reasoning, text_parts
from mlxd.worker.text.parsers.parser import Hidden, OutputParser, Parsed

REASONING = {  # the control token that opens a section of reasoning, and the one that closes it
    "[THINK]": "[/THINK]",  # Magistral
    "<think>": "</think>",  # where it is a control token; most vocabularies have it as text
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|begin_of_thought|>": "<|end_of_thought|>",
}


class SectionsParser(OutputParser):
    """A parser that tells reasoning from content. A section that is never closed is reasoning to its end."""

    begins = frozenset(REASONING) | frozenset(REASONING.values())

    def __init__(self) -> None:
        self._inside = False

    @override
    def push(self, text: str) -> list[Parsed]:
        if not self._inside:
            return [*text_parts(text)]
        return [Reasoning(text=text)] if text else []

    @override
    def control(self, token: str) -> list[Parsed]:
        if token in self.begins:
            self._inside = token in REASONING
        return [Hidden(token)]

    @override
    def finish(self) -> list[Parsed]:
        return []
