"""Guessed tokens are verified as rows of the same step: whatever is guessed, the answer is the one without guesses, to the last logprob."""

import math
from functools import cache

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.errors import NotFiniteError
from mlxd.types import SamplingParams, Stopping
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling import filters, row_sampler
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from tests.support.examples import examples
from tests.support.tiny_model import EOS, VOCAB
from tests.worker.broken_processor import Broken, BrokenWhenTold
from tests.worker.token_rules import Breaks, Digits

TOKENS = 8  # of an answer


@pytest.fixture(params=["by order", "by threshold"])
def _way(request, monkeypatch):
    monkeypatch.setattr(filters, "prefers_thresholds", lambda: request.param == "by threshold")


@cache
def logits_behind(tokens):
    """What a model would say: it remembers three tokens, and has favourites, so that some come often."""
    chance = np.random.default_rng([7, *tokens[-3:]])
    row = chance.standard_normal(VOCAB).astype(np.float32)
    row[chance.integers(0, VOCAB, 4)] += 6
    return row


class Answers:
    """A model's answers to some requests at once, sampled step by step, each with what it guesses: a function of the tokens so far."""

    def __init__(self, requests, guess=lambda _name, _tokens: (), logits=logits_behind):
        self.sampler = RowSampler(VOCAB, {EOS})
        self.requests = {request.id: request for request in requests}
        self.tokens = {name: [] for name in self.requests}
        self.failed = {}
        self.steps = 0
        self._guess = guess
        self._logits = logits
        for request in requests:
            self.sampler.open(request)

    def run(self):
        while names := [name for name in self.tokens if len(self.tokens[name]) < TOKENS and name not in self.failed]:
            self._step(names)
        return self.tokens

    def _step(self, names):
        self.steps += 1
        ids = {name: [*self.requests[name].tokens, *(token.id for token in self.tokens[name])] for name in names}
        guesses = {name: tuple(self._guess(name, [token.id for token in self.tokens[name]])) for name in names}
        rows = [SampledRow(name, guesses[name][:count]) for name in names for count in range(len(guesses[name]) + 1)]
        logits = mx.array(np.stack([self._logits((*ids[row.sequence], *row.guessed)) for row in rows]))
        draws = self.sampler.sample(logits, rows)
        parts = [draws] if draws.rows else []
        parts += [self.sampler.draw([draws.undrawn])] if draws.undrawn is not None else []
        for part in parts:
            read, failed = part.read(), part.failures()
            self.failed |= failed
            read = {name: tokens for name, tokens in read.items() if name not in failed}
            self.sampler.accept(read)
            for name, tokens in read.items():
                self.tokens[name] += tokens
        for name in self.failed:
            self.sampler.close(name)


def request(name="a", *, prompt=(1, 2, 3), constraint=None, logprobs=None, min_tokens=0, **sampling):
    encoded = EncodedPrompt(list(prompt), TOKENS, CacheRoot(model="m"))
    stopping = Stopping(min_tokens=min_tokens, token_ids=[5, 9])
    return EngineRequest(name, encoded, SamplingParams(**sampling), constraint=constraint, logprobs=logprobs, stopping=stopping)


asked = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.5, 1.0, 1.7]),
        "seed": st.integers(0, 3),
        "prompt": st.lists(st.integers(0, 20), min_size=1, max_size=4),
    },
    optional={
        "top_p": st.sampled_from([0.2, 0.7, 0.95]),
        "top_k": st.sampled_from([1, 3, 20]),
        "min_p": st.sampled_from([0.05, 0.4]),
        "repetition_penalty": st.sampled_from([0.8, 1.3]),
        "presence_penalty": st.sampled_from([-2.0, 1.0]),
        "frequency_penalty": st.sampled_from([-1.0, 2.0]),
        "logit_bias": st.dictionaries(st.integers(0, VOCAB - 1), st.sampled_from([-100.0, 4.0]), max_size=4),
        "logprobs": st.sampled_from([0, 2]),
        "min_tokens": st.integers(0, 9),
        "constraint": st.sampled_from([(10**9, b"abc", 0), (3, b"xyz", 1)]),
    },
)


def made(name, fields):
    constraint = Digits(*fields["constraint"]) if "constraint" in fields else None
    return request(name, **{**fields, "constraint": constraint})


def same(tokens, others):
    """Logprobs may come from rows that are reduced in another company."""
    assert [token.id for token in tokens] == [token.id for token in others]
    for token, other in zip(tokens, others, strict=True):
        assert [one.id for one in token.top] == [one.id for one in other.top]
        assert token.logprob == (None if other.logprob is None else pytest.approx(other.logprob, abs=1e-5))


@pytest.mark.usefixtures("_way")
@settings(deadline=None, max_examples=examples(16))
@given(fields=st.lists(asked, min_size=1, max_size=4), data=st.data())
def test_whatever_is_guessed_the_answer_is_the_one_without_guesses(fields, data):
    names = [str(at) for at in range(len(fields))]
    plain = {}
    for name, one in zip(names, fields, strict=True):
        plain |= Answers([made(name, one)]).run()
    accepted = []

    def guess(name, tokens):
        right = [token.id for token in plain[name]][len(tokens) :]
        count, good = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))
        accepted.append(min(count, good))
        return [token if at < good else (token + 1) % VOCAB for at, token in enumerate(right[:count])]

    answers = Answers([made(name, one) for name, one in zip(names, fields, strict=True)], guess)
    for name, tokens in answers.run().items():
        same(tokens[:TOKENS], plain[name][:TOKENS])
    assert not answers.failed


def test_guesses_that_are_right_save_steps():
    sampling = {"temperature": 0.9, "top_p": 0.9, "frequency_penalty": 0.5, "seed": 4}
    plain = Answers([request(**sampling)])
    right = [token.id for token in plain.run()["a"]]
    guessing = Answers([request(**sampling)], lambda _, tokens: right[len(tokens) : len(tokens) + 3])
    assert [token.id for token in guessing.run()["a"]] == right
    assert (plain.steps, guessing.steps) == (8, 2)


def test_what_follows_a_guess_that_the_grammar_forbids_is_never_taken():
    guesses = iter([[ord("1"), ord("2"), ord("b")], *[[]] * TOKENS])
    answers = Answers([request(constraint=Digits(), temperature=0.0, logit_bias={ord("1"): 50.0})], lambda *_: next(guesses))
    tokens = [token.id for token in answers.run()["a"]]
    again = Digits()
    for token in tokens:
        again.accept(token)
    assert tokens[0] == ord("1")
    assert answers.steps == TOKENS - 1


@pytest.mark.parametrize("do", ["allowed", "accept", "nothing"])
def test_a_constraint_that_raises_behind_a_guess_ends_the_answer_where_it_would_without(do):
    def answers(guess):
        made = Answers([request("broken", constraint=Breaks(do, 4), temperature=0.0), request("good", temperature=0.0)], guess)
        return made.run(), made.failed

    plain, failed = answers(lambda *_: ())
    right = [token.id for token in plain["broken"]]
    guessed, failed_too = answers(lambda name, tokens: [*right, 8, 8][len(tokens) : len(tokens) + 4] if name == "broken" else ())
    assert guessed == plain
    assert len(plain["broken"]) == 4
    assert {name: str(error) for name, error in failed.items()} == {name: str(error) for name, error in failed_too.items()}
    assert set(failed) == {"broken"}


@pytest.mark.parametrize("broken", [Broken, BrokenWhenTold])
def test_a_processor_that_raises_behind_a_guess_ends_its_own_row_only(monkeypatch, broken):
    made_processors = row_sampler.batch_processors
    monkeypatch.setattr(row_sampler, "batch_processors", lambda *of: [*made_processors(*of), broken()])
    requests = [request("bad", seed=13), request("good", seed=1)]
    plain = Answers([request("good", seed=1), request("bad", seed=13)])
    plain.run()
    right = {name: [token.id for token in tokens] for name, tokens in plain.tokens.items()}
    guessing = Answers(requests, lambda name, tokens: right[name][len(tokens) :][:3])
    assert guessing.run()["good"] == plain.tokens["good"]
    assert [token.id for token in guessing.tokens["bad"]][:2] == right["bad"]
    assert set(guessing.failed) == set(plain.failed) == {"bad"}
    assert len(right["bad"]) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("guesses", [0, 1, 4])
def test_logits_that_are_no_number_behind_a_guess_end_the_answer_where_they_would_without(value, guesses):
    right = [token.id for token in Answers([request(temperature=0.0)]).run()["a"]]

    def damaged(tokens):
        return logits_behind(tokens) * (value if len(tokens) == 3 + 4 else 1)

    answers = Answers([request(temperature=0.0)], lambda _, tokens: right[len(tokens) : len(tokens) + guesses], damaged)
    assert [token.id for token in answers.run()["a"]] == right[:4]
    assert isinstance(answers.failed["a"], NotFiniteError)


def test_what_follows_a_wrong_guess_fails_nobody():
    def damaged(tokens):
        return logits_behind(tokens) * (math.nan if tokens[-1] == VOCAB - 1 else 1)

    answers = Answers([request(temperature=0.0)], lambda *_: [VOCAB - 1], damaged)
    assert answers.run() == Answers([request(temperature=0.0)]).run()
    assert not answers.failed


CRITICAL = 1.6  # times the degrees of freedom: beyond the 99.9th percentile from 30 on


@pytest.mark.parametrize("guessed", ["the most likely", "an unlikely one"])
def test_sampled_text_has_the_distribution_of_the_model(guessed):
    """Pearson's chi-square over the pairs of tokens that 6,000 requests begin with, of which the first is guessed."""
    count, vocab = 6000, 6
    first = np.array([1.5, 0.5, 0.0, -0.5, 1.0, -4.0], np.float32)
    second = np.random.default_rng(2).standard_normal((vocab, vocab)).astype(np.float32)
    guess = 0 if guessed == "the most likely" else 3
    sampler, names = RowSampler(vocab), [str(at) for at in range(count)]
    for at, name in enumerate(names):
        sampler.open(EngineRequest(name, EncodedPrompt([0], 9, CacheRoot(model="m")), SamplingParams(seed=at)))
    rows = [row for name in names for row in (SampledRow(name), SampledRow(name, (guess,)))]
    read = sampler.sample(mx.array(np.tile(np.stack([first, second[guess]]), (count, 1))), rows).read()
    sampler.accept(read)
    pairs = {name: [token.id for token in tokens] for name, tokens in read.items()}
    short = [name for name in names if len(pairs[name]) == 1]
    assert 0 < len(short) < count
    rest = sampler.sample(mx.array(np.stack([second[pairs[name][0]] for name in short])), [SampledRow(name) for name in short]).read()
    for name in short:
        pairs[name].append(rest[name][0].id)
    observed = np.zeros((vocab, vocab))
    np.add.at(observed, tuple(np.array(list(pairs.values())).T), 1)
    expected = count * softmax(first)[:, None] * softmax(second)
    seen = expected >= 5
    statistic = ((observed - expected)[seen] ** 2 / expected[seen]).sum()
    assert statistic < CRITICAL * seen.sum(), statistic
    skewed = np.tile(softmax(first), (vocab, 1)).T * count / vocab  # the test would see a distribution that is another
    assert ((observed - skewed) ** 2 / skewed).sum() > 10 * observed.size


def softmax(logits):
    values = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)
