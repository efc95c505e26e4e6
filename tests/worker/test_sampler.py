from collections import Counter

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling import filters, order
from mlxd.worker.runtime.sampling.remaining import drawn
from mlxd.worker.runtime.sampling.sampler import row_key, sample
from tests.support.examples import examples

VOCAB = 32
LOGITS = mx.array(np.random.default_rng(1).standard_normal((8, VOCAB)).astype(np.float32) * 2)


@pytest.fixture(autouse=True, scope="module", params=["all are sorted", "few are sorted", "none is sorted"])
def _way(request):
    """Every way to filter, whichever this device prefers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "prefers_thresholds", lambda: request.param == "none is sorted")
        if request.param == "few are sorted":
            patch.setattr(order, "_CANDIDATES", 4)
        yield


def draw(params, *, logits=None, seed=1, count=300):
    """Tokens drawn from one row at ``count`` positions."""
    row = LOGITS[0] if logits is None else mx.array(logits)
    drawn = sample(mx.stack([row] * count), [params] * count, [row_key(seed, position) for position in range(count)])
    return drawn.tolist()


def probabilities(row=0):
    values = np.exp(np.array(LOGITS[row]))
    return values / values.sum()


def test_temperature_zero_takes_the_most_likely():
    assert set(draw(SamplingParams(temperature=0))) == {int(mx.argmax(LOGITS[0]).item())}


def test_draws_follow_the_distribution():
    counts = Counter(draw(SamplingParams(), count=20_000))
    for token, probability in enumerate(probabilities()):
        assert counts[token] / 20_000 == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize("k", [1, 3, VOCAB, VOCAB + 5])
def test_top_k(k):
    allowed = set(np.argsort(-probabilities())[:k].tolist())
    drawn = set(draw(SamplingParams(top_k=k, temperature=2.0), count=2000))
    assert drawn <= allowed
    assert len(drawn) == min(k, VOCAB) or k > 3


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9])
def test_top_p_is_the_smallest_set_that_reaches_it(p):
    order = np.argsort(-probabilities())
    size = int(np.searchsorted(np.cumsum(probabilities()[order]), p)) + 1
    assert set(draw(SamplingParams(top_p=p), count=3000)) == set(order[:size].tolist())


def test_min_p_is_relative_to_the_most_likely():
    likely = probabilities()
    assert set(draw(SamplingParams(min_p=0.2), count=3000)) == set(np.flatnonzero(likely >= 0.2 * likely.max()).tolist())


def test_ties_do_not_widen_top_k():
    assert len(set(draw(SamplingParams(top_k=2), logits=[1.0] * VOCAB, count=200))) == 2


params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.5]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    top_k=st.sampled_from([0, 1, 5]),
    min_p=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 5),
)


@settings(deadline=None, max_examples=examples(24))
@given(st.lists(params, min_size=1, max_size=8), st.integers(0, 1000))
def test_a_row_is_drawn_as_it_is_alone_whoever_shares_the_batch(rows, position):
    """Settings do not leak from row to row, and a seed does not depend on company."""
    logits, keys = LOGITS[: len(rows)], [row_key(row.seed, position) for row in rows]
    together = sample(logits, rows, keys).tolist()
    alone = [sample(logits[index : index + 1], [row], [keys[index]]).item() for index, row in enumerate(rows)]
    assert together == alone


def test_a_seed_and_a_position_decide_and_both_matter():
    assert draw(SamplingParams(), seed=3) == draw(SamplingParams(), seed=3)
    assert draw(SamplingParams(), seed=3) != draw(SamplingParams(), seed=4)
    assert len(set(draw(SamplingParams(), seed=3))) > 5


def test_a_tiny_temperature_is_greedy_and_finite():
    assert set(draw(SamplingParams(temperature=1e-9))) == {int(mx.argmax(LOGITS[0]).item())}


def test_what_top_p_wants_is_there_also_where_the_most_likely_are_not_enough(monkeypatch):
    """A flat distribution: nine tenths of it are more than the candidates."""
    monkeypatch.setattr(order, "_CANDIDATES", 4)
    logits = np.linspace(0, 0.1, VOCAB, dtype=np.float32)
    drawn = set(draw(SamplingParams(top_p=0.9), logits=logits, count=5000))
    assert 4 < len(drawn) < VOCAB
    assert drawn == set(range(VOCAB - len(drawn), VOCAB))


@settings(deadline=None, max_examples=examples(24))
@given(st.lists(params, min_size=1, max_size=8), st.integers(0, 1000))
def test_a_row_is_drawn_as_by_mlx_whatever_remains_of_its_company(rows, position):
    """Every way draws the token that MLX draws from all logits, with minus infinity for what is filtered out."""
    logits, keys = LOGITS[: len(rows)], mx.array([row_key(row.seed, position) for row in rows], dtype=mx.uint32)
    remaining, expected = filters.filtered(logits, rows), {}
    for one in remaining:
        for at, place in enumerate(one.places):
            ids = mx.arange(VOCAB) if one.ids is None else one.ids[at]
            left = mx.put_along_axis(mx.full((VOCAB,), -mx.inf), ids, one.logits[at], axis=0)
            expected[place] = mx.random.categorical(left, key=keys[place]).item()
    assert drawn(remaining, keys, VOCAB).tolist() == [expected[place] for place in range(len(rows))]
