"""How one model's answers are read: made once a model, asked once a request."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.text.output import Reading, TextOutput
from mlxd.worker.text.parsers import harmony
from mlxd.worker.text.parsers.harmony import HarmonyParser
from mlxd.worker.text.parsers.parser import OutputParser
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.parsers.sections import REASONING, SectionsParser
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.token_kinds import TokenKinds


@dataclass(frozen=True)
class AnswerReader:
    """A reader of one model's answers. ``decode`` turns token ids into text and skips control tokens. A model's control tokens say which
    parser reads its output.
    """

    decode: Callable[[Sequence[int]], str]
    kinds: TokenKinds = field(default_factory=TokenKinds)
    shapes: Shapes = field(default_factory=Shapes)

    def output(self, prompt: Sequence[int], spec: OutputSpec, interval: int) -> TextOutput:
        """Returns the output of an answer to ``prompt``, which may have opened a part of it. ``interval`` is in tokens."""
        parser = _parser_for(self.kinds.controls.values())
        for token in self._opening(prompt, parser):
            spelling = self.kinds.controls.get(token)
            if spelling is None:
                parser.push(self.decode([token]))
            else:
                parser.control(spelling)
        return TextOutput(self.decode, prompt, spec.stop, interval, Reading(parser, self.kinds))

    def _opening(self, prompt: Sequence[int], parser: OutputParser) -> Iterator[int]:
        """Returns the prompt's tokens from the last marker on that says where the answer begins."""
        begins = {token for token, spelling in self.kinds.controls.items() if spelling in parser.begins}
        if not begins:
            return iter(())
        start = next((at for at in range(len(prompt) - 1, -1, -1) if prompt[at] in begins), len(prompt))
        return iter(prompt[start:])


def _parser_for(controls: Collection[str]) -> OutputParser:
    if set(controls) >= harmony.MARKERS:
        return HarmonyParser()
    if any(marker in controls for marker in REASONING):
        return SectionsParser()
    return PlainParser()
