"""Answers of every shape on their way out, token by token, with markers that are control tokens and such that are text."""

import re
from dataclasses import replace

import pytest

from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.parsers.registry import TOOLS
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.token_kinds import TokenKinds
from tests.unit.worker_text.shapes import harmony
from tests.unit.worker_text.shapes.case import RULES, check, cut, told
from tests.unit.worker_text.shapes.test_calls import CORPORA

_LONGEST = 600


class Tokens:
    """A vocabulary of the pieces that an answer is cut into."""

    def __init__(self, pieces, controls):
        self.ids = {piece: 10 + index for index, piece in enumerate(dict.fromkeys(pieces))}
        self.texts = {token: piece for piece, token in self.ids.items()}
        self.kinds = TokenKinds({self.ids[piece]: piece for piece in self.ids if piece in controls})

    def decode(self, ids):
        return "".join(self.texts[token] for token in ids if token not in self.kinds.controls)


def answer(shapes, pieces, controls, interval):
    """What the deltas of an answer say, joined."""
    tokens = Tokens(pieces, controls)
    reader = AnswerReader(tokens.decode, tokens.kinds, shapes)
    output = reader.output(EncodedPrompt([], 100, CacheRoot(model="m")), OutputSpec(tools=RULES), interval)
    deltas = [delta for piece in pieces if (delta := output.push(tokens.ids[piece]))]
    deltas.append(output.finish())
    assert sum(delta.tokens for delta in deltas) == len(pieces)
    return told([part for delta in deltas for part in delta.parts], output.warnings)


def replay(shape, case, controls, prompt=()):
    for size, interval in ((1, 1), (5, 1), (3, 16)):
        check(case, answer(shape, [*prompt, *cut(case.written, size, controls)], controls, interval))


@pytest.mark.parametrize("shape", CORPORA)
@pytest.mark.parametrize("controls", ["text", "control tokens"])
def test_every_delta_together_is_the_answer(shape, controls):
    markers = TOOLS[shape].markers if controls == "control tokens" else frozenset()
    for case in CORPORA[shape]:
        if len(case.written) <= _LONGEST and not _is_example(case, markers):
            replay(Shapes(tools=shape), shown(case, markers), markers)


def shown(case, controls):
    """The case as it is told where ``controls`` are control tokens, which are never shown."""

    def hide(text):
        return re.sub("|".join(map(re.escape, controls)), "", text) if controls else text

    calls = [(name, hide(arguments) if isinstance(arguments, str) else arguments) for name, arguments in case.calls]
    return replace(case, content=hide(case.content), calls=calls)


def _is_example(case, markers):
    """A marker that is a control token is no example, wherever it stands."""
    return any(marker in case.content for marker in markers) and not case.warns


def test_every_delta_of_gpt_oss_together_is_the_answer():
    for case in harmony.CASES:
        if len(case.written) <= _LONGEST:
            replay(Shapes(tools=ToolShape.HARMONY, reasoning=ReasoningShape.HARMONY), case, harmony.CONTROLS, harmony.PROMPT)
