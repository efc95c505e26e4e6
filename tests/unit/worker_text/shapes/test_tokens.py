"""Answers of every shape in the tokens of a real tokenizer, of which many hold parts of characters and of markers."""

from functools import cache

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mlxd.types import ReasoningShape
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.token_kinds import TokenKinds
from tests.unit.worker_text.shapes.case import RULES, check, told
from tests.unit.worker_text.shapes.test_calls import CORPORA

_LONGEST = 600
INTERVALS = (1, 4, 16)


@cache
def tokenizer():
    """A byte-level BPE that was trained on the answers themselves, so that its tokens run across the ends of markers."""
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False, max_token_length=9)
    model.train_from_iterator([case.written for cases in CORPORA.values() for case in cases if len(case.written) <= _LONGEST], trainer)
    return model


def answer(shapes, written, interval, together=1):
    """What the deltas of an answer say, joined, and that its tokens are counted."""
    bpe = tokenizer()
    reader = AnswerReader(lambda ids: bpe.decode(list(ids)), TokenKinds(), shapes)
    output = reader.output(EncodedPrompt([], 100, CacheRoot(model="m")), OutputSpec(tools=RULES), interval)
    tokens = bpe.encode(written).ids
    assert bpe.decode(tokens) == written
    deltas = []
    for at in range(0, len(tokens), together):  # a step may give several tokens
        deltas += [delta for token in tokens[at : at + together] if (delta := output.push(token))]
    deltas.append(output.finish())
    assert sum(delta.tokens for delta in deltas) == output.tokens == len(tokens)
    return told([part for delta in deltas for part in delta.parts], output.warnings)


@pytest.mark.parametrize("shape", CORPORA)
def test_every_answer_in_tokens(shape):
    for number, case in enumerate(CORPORA[shape]):
        if len(case.written) <= _LONGEST:
            check(case, answer(Shapes(tools=shape), case.written, INTERVALS[number % 3]))


@pytest.mark.parametrize("shape", CORPORA)
def test_every_answer_in_tokens_behind_reasoning(shape):
    shapes = Shapes(tools=shape, reasoning=ReasoningShape.THINK)
    for number, case in enumerate(CORPORA[shape]):
        if len(case.written) <= _LONGEST and not case.written[:1].isspace():
            found = answer(shapes, f"<think>\nWhat é 🌧?\n</think>\n\n{case.written}", INTERVALS[number % 3], together=5)
            assert found.reasoning == "What é 🌧?"
            assert (found.content, len(found.calls)) == (case.content, len(case.calls))


def test_there_are_enough_answers():
    assert sum(len(cases) for cases in CORPORA.values()) >= 300
