"""Random walks through what constraints allow: answers as the worst of models would give them."""

import random
from types import SimpleNamespace

import numpy as np

from mlxd.types import ReasoningShape
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.constraints.vocabulary import open_vocabulary
from mlxd.worker.text.shape_rules import Markers
from mlxd.worker.text.shapes import Shapes
from tests.support.tiny_model import EOS, VOCAB, make_tokenizer

THINKS = Shapes(reasoning=ReasoningShape.THINK, thinking=Markers("<think>", "</think>"))
_CLOSING = '"}]'


class EndlessError(Exception):
    """An answer that did not end in as many tokens as it may have."""


def tiny_vocabulary(*markers, special=True, width=None):
    """The tiny model's, one token a byte, with tokens for ``markers``."""
    inner = make_tokenizer()
    add = inner.add_special_tokens if special else inner.add_tokens
    if markers:
        add(list(markers))
    return open_vocabulary(SimpleNamespace(backend_tokenizer=inner), width=width or VOCAB + len(markers), ends=[EOS, 256])


def constraint_of(spec, shapes=None, opening=Opening.NONE, vocabulary=None):
    return AnswerConstraints(vocabulary or _TINY, shapes or Shapes()).of(spec, opening)


def walked(constraint, vocabulary=None, **how):
    """The text of a random answer, without its end token."""
    vocabulary = vocabulary or _TINY
    return vocabulary.tokenizer.decode_str(walked_tokens(constraint, vocabulary, **how))


def walked_tokens(constraint, vocabulary, *, seed=0, most=3_000, hurry=0.3, closes=()):
    """The tokens of a random answer. It hurries to an end, for strings and lists have none of their own: with quotes and brackets, and with
    the texts or tokens of ``closes``, which it spells out once it has begun to.
    """
    chance, tokens, text = random.Random(seed), [], b""  # noqa: S311
    closing = {vocabulary.tokens(mark)[0] for mark in (*_CLOSING, *closes)}
    for _ in range(most):
        allowed = allowed_tokens(constraint, vocabulary)
        token = _spelled(text, allowed, closes, vocabulary) if chance.random() < 0.9 else None
        token = _next(allowed, chance, closing, vocabulary.ends, hurry) if token is None else token
        constraint.accept(token)
        if token in vocabulary.ends:
            return tokens
        tokens.append(token)
        text = (text + vocabulary.tokenizer.decode_bytes([token]))[-40:]
    raise EndlessError(vocabulary.tokenizer.decode_str(tokens))


def _spelled(text, allowed, closes, vocabulary):
    """The token with which a closing text goes on that ``text`` ends in the beginning of."""
    for mark in map(str.encode, closes):
        for size in range(len(mark) - 1, 0, -1):
            if text.endswith(mark[:size]) and (token := vocabulary.tokens(mark[size:].decode())[0]) in allowed:
                return token
    return None


def allowed_tokens(constraint, vocabulary=None):
    mask = constraint.allowed()
    if mask is None:
        return [*range((vocabulary or _TINY).width)]
    return np.flatnonzero(np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")).tolist()


def fed(constraint, vocabulary, text):
    """Feeds the tokens of ``text``, each of which must be allowed."""
    for token in vocabulary.tokens(text):
        assert token in allowed_tokens(constraint, vocabulary), (text, vocabulary.text(token))
        constraint.accept(token)


def _next(allowed, chance, closing, ends, hurry):
    final = sorted(ends.intersection(allowed))
    if final and (len(final) == len(allowed) or chance.random() < 0.5):
        return chance.choice(final)
    if final:
        allowed = [token for token in allowed if token not in ends]
    closes = sorted(closing.intersection(allowed))
    return chance.choice(closes) if closes and chance.random() < hurry else chance.choice(allowed)


_TINY = tiny_vocabulary()
