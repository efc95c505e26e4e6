"""Top-k and top-p by threshold: nothing is sorted, and nobody waits for the device.

The logit down to which tokens stay is found digit by digit of its bits, as radix selection finds the k-th largest (Alabi et al. 2012, Fast
k-selection algorithms for graphics processing units): a histogram over the first digit, of how many tokens or of how much probability lies
at each, says in which of its bins the threshold is; another of what is in that bin says its next digit. Probabilities are summed as
integers, so that a row's sums do not depend on the order in which a device adds, nor on who else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling.fused import fused
from mlxd.worker.runtime.x86 import exp

_DIGITS = ((21, 11), (10, 11), (0, 10))  # of 32 bits: how far each is shifted, and how many bits it has
_SIGN = 1 << 31
_WHOLE = 1 << 31  # about the weight of a row: far from 2 ** 32, whatever is rounded
_EVERYTHING = (1 << 32) - 1


def filtered_by_threshold(logits: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Returns ``logits`` ``[B, vocab]``, float32, divided by temperature, with minus infinity for what top-k, and top-p of what is left,
    take away. Of equals the first ids come first. The most likely one always stays.
    """
    if any(row.top_k for row in rows):
        logits = _by_count(logits, mx.array([row.top_k or _EVERYTHING for row in rows], dtype=mx.uint32)[:, None])
    if any(row.top_p < 1 for row in rows):
        logits = _by_share(logits, mx.array([row.top_p for row in rows])[:, None])
    return logits


def most_likely_by_threshold(logits: mx.array, count: int) -> mx.array:
    """Returns the ids ``[B, count]`` of the highest of ``logits`` ``[B, vocab]``, float32, in falling order. There must be as many."""
    rows, vocab = logits.shape
    places = _places(logits, mx.full((rows, 1), count, dtype=mx.uint32))
    ids = mx.broadcast_to(mx.arange(vocab), (rows, vocab))
    found = mx.put_along_axis(mx.zeros((rows, count + 1), mx.int32), places, ids, axis=-1)[:, :count]
    return mx.take_along_axis(found, mx.argsort(-mx.take_along_axis(logits, found, axis=-1), axis=-1), axis=-1)


@fused
def _by_count(logits: mx.array, limits: mx.array) -> mx.array:
    """Filters by top-k, whose k are ``limits`` ``[B, 1]``."""
    return mx.where(_stays(_ordered(logits), mx.ones(logits.shape, mx.uint32), limits), logits, -mx.inf)


@fused
def _by_share(logits: mx.array, top_p: mx.array) -> mx.array:
    """Filters by ``top_p`` ``[B, 1]``."""
    weights = _weights(logits)
    shares = mx.maximum(mx.ceil(top_p * mx.sum(weights, axis=-1, keepdims=True).astype(mx.float32)), 1).astype(mx.uint32)
    limits = mx.where(top_p < 1, shares, mx.array(_EVERYTHING, dtype=mx.uint32))
    return mx.where(_stays(_ordered(logits), weights, limits), logits, -mx.inf)


@fused
def _places(logits: mx.array, limits: mx.array) -> mx.array:
    """Returns for each token which of those that top-k leaves it is, counted by their ids; ``limits`` ``[B, 1]`` where it is none."""
    stays = _stays(_ordered(logits), mx.ones(logits.shape, mx.uint32), limits)
    return mx.where(stays, mx.cumsum(stays.astype(mx.uint32), axis=-1) - 1, limits)


def _ordered(logits: mx.array) -> mx.array:
    """Returns 32-bit integers that are in the order of the logits; equal ones are equal, zero and minus zero too."""
    bits = mx.where(logits == 0, 0.0, logits).view(mx.uint32)
    return mx.where(bits >= _SIGN, ~bits, bits | _SIGN)


def _weights(logits: mx.array) -> mx.array:
    """Returns probabilities as integers, of which a row has about ``_WHOLE`` altogether."""
    relative = exp(logits - mx.max(logits, axis=-1, keepdims=True))
    return (relative * (_WHOLE / mx.sum(relative, axis=-1, keepdims=True)) + 0.5).astype(mx.uint32)


def _stays(keys: mx.array, weights: mx.array, limits: mx.array) -> mx.array:
    """Tells of each token of a row whether less weight than the row's limit, ``[B, 1]``, lies before it, in falling order."""
    threshold = _threshold(keys, weights, limits)
    equal = keys == threshold.key
    earlier = mx.cumsum(equal.astype(mx.uint32), axis=-1) - equal
    return (keys > threshold.key) | (equal & (threshold.above + earlier * weights < limits))


@dataclass(frozen=True)
class _Threshold:
    """The least key that stays in each row, ``[B, 1]``, of its equals the first at least; and the weight of all ``above`` it."""

    key: mx.array
    above: mx.array


def _threshold(keys: mx.array, weights: mx.array, limits: mx.array) -> _Threshold:
    rows = keys.shape[0]
    found = above = mx.zeros((rows, 1), mx.uint32)
    for shift, bits in _DIGITS:
        if shift + bits < 32:
            weights = mx.where(keys >> (shift + bits) == found >> (shift + bits), weights, 0)
        digits = (keys >> shift) & ((1 << bits) - 1)
        at = _histogram(digits, weights, 1 << bits)
        reached = above + mx.cumsum(at, axis=-1, reverse=True)  # the weight of what has a digit, or a higher one
        digit = mx.maximum(mx.sum(reached >= limits, axis=-1, keepdims=True) - 1, 0)
        above = mx.take_along_axis(reached - at, digit, axis=-1)
        found = found | (digit.astype(mx.uint32) << shift)
    return _Threshold(found, above)


def _histogram(digits: mx.array, weights: mx.array, size: int) -> mx.array:
    """Returns the sum of the weights of each digit in each row, ``[B, size]``."""
    rows = digits.shape[0]
    places = digits + size * mx.arange(rows, dtype=mx.uint32)[:, None]
    return mx.zeros((rows * size,), mx.uint32).at[places.reshape(-1)].add(weights.reshape(-1)).reshape(rows, size)
