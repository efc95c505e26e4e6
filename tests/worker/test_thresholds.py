"""What is filtered by threshold is what sorting takes away: the same tokens, up to the rounding of sums, and of equals the same ones."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling import filters, order
from mlxd.worker.runtime.sampling.filters import filtered
from mlxd.worker.runtime.sampling.order import by_order
from mlxd.worker.runtime.sampling.thresholds import _ordered, filtered_by_threshold, most_likely_by_threshold
from tests.support.examples import examples

ROUNDING = 1e-5  # of a sum of float32 probabilities, beside what each may lose
FINITE_HALF = float(np.finfo(np.float16).max)


def whole(remaining, shape):
    """The logits of a batch, with minus infinity for what does not remain."""
    found = np.full(shape, -np.inf, np.float32)
    for one in remaining:
        ids = np.broadcast_to(np.arange(shape[1]), one.logits.shape) if one.ids is None else np.array(one.ids)
        found[np.array(one.places)[:, None], ids] = np.array(one.logits)
    return found


def by_definition(row, params):
    """What stays of one row in float64, and how far each token that is left is from where top-p draws the line, in falling order."""
    ids = np.argsort(-row, kind="stable")
    if params.top_k:
        ids = ids[: params.top_k]
    values = np.exp(row[ids].astype(np.float64) - row[ids[0]])
    before = np.cumsum(values) - values
    return ids, before / values.sum()


def check(logits, rows, found):
    for row, params, kept in zip(logits, rows, found, strict=True):
        ids, before = by_definition(row, params)
        rounding = ROUNDING + len(row) / 2**31
        stays = np.isfinite(kept)
        assert np.array_equal(kept[stays], row[stays])
        possible = [token for token in ids if np.isfinite(row[token])]
        surely = {token for token, mass in zip(ids, before, strict=True) if mass < params.top_p - rounding or params.top_p == 1}
        perhaps = {token for token, mass in zip(ids, before, strict=True) if mass < params.top_p + rounding}
        count = int(stays.sum())
        assert set(np.flatnonzero(stays)) == set(possible[:count]), "not the most likely, or of equals not the first"
        assert ids[0] in np.flatnonzero(stays)
        assert surely & set(possible) <= set(np.flatnonzero(stays)) <= perhaps | {ids[0]} | (surely if params.top_p == 1 else set())


def normal(chance, rows, vocab):
    return chance.standard_normal((rows, vocab)) * chance.choice([0.1, 2.0, 8.0])


def with_ties(chance, rows, vocab):
    return chance.integers(-2, 3, (rows, vocab)) * 0.5


def impossible(chance, rows, vocab):
    found = normal(chance, rows, vocab)
    found[chance.random((rows, vocab)) < 0.7] = -np.inf
    found[:, chance.integers(vocab)] = 1.0
    return found


def one_hot(chance, rows, vocab):
    found = np.full((rows, vocab), -np.inf)
    found[np.arange(rows), chance.integers(0, vocab, rows)] = chance.choice([-FINITE_HALF, 0.0, 3.0])
    return found


def extreme(chance, rows, vocab):
    return chance.choice([FINITE_HALF, -FINITE_HALF, 6e-8, -6e-8, 0.0, -0.0, 12.0], (rows, vocab))


def nearly_flat(chance, rows, vocab):
    return 20 + chance.integers(0, 3, (rows, vocab)) * np.spacing(np.float32(20))


KINDS = [normal, with_ties, impossible, one_hot, extreme, nearly_flat]
params = st.builds(
    SamplingParams, top_k=st.sampled_from([0, 0, 1, 2, 7, 40, 10**6]), top_p=st.sampled_from([1e-6, 0.1, 0.5, 0.9, 0.999, 1.0])
)


@settings(deadline=None, max_examples=examples(60))
@given(
    kind=st.sampled_from(KINDS),
    vocab=st.sampled_from([1, 2, 5, 33, 259]),
    rows=st.lists(params, min_size=1, max_size=6),
    seed=st.integers(0, 999),
)
@example(kind=impossible, vocab=33, rows=[*[SamplingParams(top_p=1e-6)] * 3, SamplingParams()], seed=148)  # the last wants everything
def test_what_stays_is_what_the_definition_says(kind, vocab, rows, seed):
    logits = kind(np.random.default_rng(seed), len(rows), vocab).astype(np.float32)
    check(logits, rows, np.array(filtered_by_threshold(mx.array(logits), rows)))
    with pytest.MonkeyPatch.context() as patch:
        for candidates in (4, 1024):
            patch.setattr(order, "_CANDIDATES", candidates)
            check(logits, rows, whole(by_order(mx.array(logits), rows), logits.shape))


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_whole_vocabulary(kind):
    rows = [SamplingParams(top_p=0.9), SamplingParams(top_k=50, top_p=0.95), SamplingParams(top_k=20)]
    logits = kind(np.random.default_rng(3), len(rows), 50_000).astype(np.float32)
    found = np.array(filtered_by_threshold(mx.array(logits), rows))
    check(logits, rows, found)
    if kind is not extreme:  # a difference of rounding may decide there
        assert [np.isfinite(row).sum() for row in found] == pytest.approx(
            [np.isfinite(row).sum() for row in whole(by_order(mx.array(logits), rows), logits.shape)], rel=2e-3
        )


def test_equal_ones_beyond_the_line_leave_from_the_end():
    logits = np.array([[1.0, 3.0, 1.0, 3.0, 1.0, 1.0]], dtype=np.float32)
    for params, kept in (
        (SamplingParams(top_k=1), [1]),
        (SamplingParams(top_k=4), [0, 1, 2, 3]),
        (SamplingParams(top_p=0.3), [1]),
        (SamplingParams(top_p=0.6), [1, 3]),
        (SamplingParams(top_p=0.83), [0, 1, 3]),
    ):
        assert np.flatnonzero(np.isfinite(np.array(filtered_by_threshold(mx.array(logits), [params]))[0])).tolist() == kept


def test_a_row_that_is_no_number_touches_no_other():
    logits = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    damaged = logits.copy()
    damaged[1, 5] = np.nan
    rows = [SamplingParams(top_p=0.8, top_k=9)] * 3
    found, expected = (np.array(filtered_by_threshold(mx.array(some), rows)) for some in (damaged, logits))
    assert np.array_equal(found[[0, 2]], expected[[0, 2]])


@settings(deadline=None, max_examples=examples(24))
@given(kind=st.sampled_from(KINDS), count=st.integers(1, 20), seed=st.integers(0, 99))
def test_the_most_likely_are_in_falling_order_and_none_is_there_twice(kind, count, seed):
    logits = kind(np.random.default_rng(seed), 3, 33).astype(np.float32)
    found = np.array(most_likely_by_threshold(mx.array(logits), count))
    for row, ids in zip(logits, found, strict=True):
        assert len(set(ids)) == count
        assert np.array_equal(row[ids], -np.sort(-row)[:count])


def test_bits_are_in_the_order_of_the_numbers():
    values = np.array([-np.inf, -3e38, -1.5, -1e-45, 0.0, 1e-45, 0.1, 7.0, 3e38, np.inf], dtype=np.float32)
    keys = np.array(_ordered(mx.array(values))).astype(np.int64)
    assert np.all(np.diff(keys) > 0)
    assert _ordered(mx.array([0.0])).item() == _ordered(mx.array([-0.0])).item()


def test_only_rows_that_ask_for_it_are_filtered(monkeypatch):
    seen = []
    monkeypatch.setattr(filters, "prefers_thresholds", lambda: True)
    monkeypatch.setattr(filters, "filtered_by_threshold", lambda logits, rows: seen.extend(rows) or filtered_by_threshold(logits, rows))
    logits = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
    rows = [SamplingParams(), SamplingParams(top_k=3), SamplingParams(min_p=0.5), SamplingParams(top_p=0.3)]
    found = whole(filtered(mx.array(logits), rows), logits.shape)
    assert seen == [rows[1], rows[3]]
    assert np.array_equal(found[0], logits[0])
    assert np.isfinite(found[1]).sum() == 3
    filtered(mx.array(logits), [SamplingParams()] * 4)
    assert len(seen) == 2


def operations(array, tmp_path):
    mx.export_to_dot(str(tmp_path / "graph.dot"), array)
    return (tmp_path / "graph.dot").read_text().count("rectangle")


def test_the_operations_do_not_grow_with_the_rows(tmp_path):
    counts = []
    for rows in (1, 8, 64):
        asked = [SamplingParams(top_p=0.9, top_k=at % 2 * 40) for at in range(rows - 1)] + [SamplingParams(top_p=0.5, top_k=9)]
        counts.append(operations(filtered_by_threshold(mx.zeros((rows, 512)), asked), tmp_path))
    assert len(set(counts)) == 1
