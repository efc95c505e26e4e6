"""Real weights: all-MiniLM-L6-v2 makes the vectors that sentence-transformers makes with it."""

import pytest

from mlxd.errors import ContextLengthError
from mlxd.wire.prompts import TextPrompt, TokenPrompt
from tests.support.minilm import MINILM, MINILM_TEXTS, minilm_needed, minilm_vectors
from tests.worker.encoding.rig import CLOSE, inputs_of, load, worst

pytestmark = minilm_needed


@pytest.fixture(scope="module")
def minilm():
    return load(MINILM)


@pytest.fixture(scope="module")
def known(minilm):
    """Every text as the model takes it, with its vector."""
    return list(zip(inputs_of(minilm, MINILM_TEXTS), minilm_vectors(), strict=True))


def test_its_files_say_what_is_known_of_it(minilm):
    facts = minilm.facts
    assert (facts.dimension, facts.pooling, facts.normalized, facts.most_tokens) == (384, "mean", True, 256)
    assert facts.least_dimension is None


def test_texts_alone(minilm, known):
    for one, vector in known:
        assert worst(minilm.vectors([one]), [vector]) < CLOSE


def test_long_texts_beside_short_ones(minilm, known):
    by_length = sorted(known, key=lambda one: len(one[0].tokens))
    compare(minilm, by_length[:4] + by_length[-3:])


def test_a_batch_of_100_of_mixed_lengths(minilm, known):
    compare(minilm, repeated(known, 24, 100))


def test_a_batch_of_1024(minilm, known):
    """Of short texts: of long ones it takes minutes on a CPU."""
    compare(minilm, repeated(known, 6, 1024))


def repeated(known, longest, count):
    """Returns so many texts that are no longer than so many tokens, mixed."""
    short = [one for one in known if len(one[0].tokens) <= longest]
    assert len({len(one.tokens) for one, _ in short}) >= 3
    return [short[place * 7 % len(short)] for place in range(count)]


def compare(minilm, batch):
    assert worst(minilm.vectors([one for one, _ in batch]), [vector for _, vector in batch]) < CLOSE


def test_a_text_that_is_too_long_is_cut_only_where_that_is_asked_for(minilm):
    text = TextPrompt(text="word " * 300)
    with pytest.raises(ContextLengthError) as caught:
        minilm.inputs.embed(text, truncate=False, param="input[17]")
    assert (caught.value.param, "302 tokens" in caught.value.message, "256" in caught.value.message) == ("input[17]", True, True)
    cut = minilm.inputs.embed(text, truncate=True, param="input[17]")
    assert (len(cut.tokens), cut.tokens[0], cut.tokens[-1]) == (256, 101, 102)


def test_tokens_are_taken_as_they_are(minilm):
    (text,) = inputs_of(minilm, ["The capital of France is Paris."])
    tokens = minilm.inputs.embed(TokenPrompt(token_ids=text.tokens), truncate=False, param="input")
    assert tokens.tokens == text.tokens
