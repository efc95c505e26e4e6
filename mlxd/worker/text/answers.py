"""How one model's answers are read: made once a model, asked once a request."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from mlxd.types import ReasoningShape
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.text.output import Reading, TextOutput
from mlxd.worker.text.parsers.parser import OutputParser
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.parsers.registry import parser_for
from mlxd.worker.text.shape_rules import REASONING_RULES
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.stop_strings import Include
from mlxd.worker.text.token_kinds import TokenKinds


@dataclass(frozen=True)
class AnswerReader:
    """A reader of one model's answers. ``decode`` turns token ids into text and skips control tokens. ``shapes`` say which parser reads
    them; without, the model's control tokens do.
    """

    decode: Callable[[Sequence[int]], str]
    kinds: TokenKinds = field(default_factory=TokenKinds)
    shapes: Shapes | None = None

    def output(self, prompt: EncodedPrompt, spec: OutputSpec, interval: int) -> TextOutput:
        """Returns the output of an answer to ``prompt``, which may have opened a part of it. ``interval`` is in tokens."""
        parser = PlainParser() if spec.is_raw else self._parser(prompt, spec)
        include = Include.BEHIND if spec.include_stop else Include.BEFORE
        return TextOutput(self.decode, prompt.tokens, spec.stop, interval, Reading(parser, self.kinds, include, spec.special_tokens))

    def _parser(self, prompt: EncodedPrompt, spec: OutputSpec) -> OutputParser:
        shapes = _shapes_of(self.kinds.controls.values()) if self.shapes is None else self.shapes
        parser = parser_for(shapes, spec.tools, prompt.opening)
        for token in self._last_section(prompt.tokens, parser):
            spelling = self.kinds.controls.get(token)
            if spelling is None:
                parser.push(self.decode([token]))
            else:
                parser.control(spelling)
        return parser

    def _last_section(self, prompt: Sequence[int], parser: OutputParser) -> Sequence[int]:
        """Returns the prompt's tokens from the last marker on that says where the answer begins."""
        begins = {token for token, spelling in self.kinds.controls.items() if spelling in parser.begins}
        start = next((at for at in range(len(prompt) - 1, -1, -1) if prompt[at] in begins), len(prompt)) if begins else len(prompt)
        return prompt[start:]


def _shapes_of(controls: Collection[str]) -> Shapes:
    shape = next((rule.shape for rule in REASONING_RULES if all(text in controls for text in rule.texts)), ReasoningShape.NONE)
    return Shapes(reasoning=shape)
