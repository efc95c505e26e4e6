"""Quantiles of buckets: by hand, by properties, and against numpy."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.terminal.top.histogram import Histogram

QUANTILES = st.floats(0, 1)


@st.composite
def histograms(draw, *, filled=True):
    steps = draw(st.lists(st.floats(0.001, 100), min_size=1, max_size=16))
    counts = draw(st.lists(st.integers(0, 1000), min_size=len(steps) + 1, max_size=len(steps) + 1))
    if filled and not any(counts):
        counts[draw(st.integers(0, len(steps)))] = 1
    return Histogram(tuple(accumulate(steps)), tuple(counts))


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ((0, 0, 0), 0.5, None),
        ((10, 0, 0), 0.5, 0.05),  # halfway from 0 to the first bound
        ((0, 10, 0), 0.5, 0.55),
        ((0, 10, 0), 0.95, 0.955),
        ((5, 5, 0), 0.5, 0.1),  # the bound itself
        ((1, 0, 1), 0.95, 1.0),  # beyond the last bound nothing is known
        ((0, 10, 0), 0.0, 0.1),
        ((0, 10, 0), 1.0, 1.0),
    ],
)
def test_as_histogram_quantile(counts, q, expected):
    assert Histogram((0.1, 1.0), counts).quantile(q) == (expected if expected is None else pytest.approx(expected))


@given(histograms(), QUANTILES, QUANTILES)
def test_a_higher_quantile_is_no_lower(histogram, one, other):
    low, high = sorted([one, other])
    assert histogram.quantile(low) <= histogram.quantile(high) + 1e-9


@given(histograms(), QUANTILES)
def test_it_is_inside_a_bucket_that_has_values(histogram, q):
    value = histogram.quantile(q)
    edges = [0.0, *histogram.bounds, histogram.bounds[-1]]
    inside = [lower - 1e-9 <= value <= upper + 1e-9 for lower, upper in pairwise(edges)]
    assert any(inside[bucket] and count for bucket, count in enumerate(histogram.counts))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), QUANTILES)
def test_with_fine_buckets_it_is_what_numpy_says(values, q):
    width = 0.01
    edges = np.arange(0, 10 + 2 * width, width)
    counts, _ = np.histogram(np.array(values), bins=edges)
    found = Histogram(tuple(edges[1:].tolist()), (*counts.tolist(), 0)).quantile(q)
    around = [np.quantile(values, q, method=method) for method in ("lower", "higher", "inverted_cdf")]
    assert min(around) - width - 1e-9 <= found <= max(around) + width + 1e-9


@given(histograms(filled=False), st.data())
def test_what_was_added_can_be_taken_away(histogram, data):
    more = Histogram(histogram.bounds, tuple(data.draw(st.integers(0, 1000)) for _ in histogram.counts))
    assert (histogram + more) - histogram == more
    assert (histogram + more).total == histogram.total + more.total
