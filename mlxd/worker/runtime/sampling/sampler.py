"""The next tokens of several sequences at once, each by its own parameters.

Order, as in vLLM: logit bias and penalties; temperature; min-p; top-k; top-p (over what is left); then a draw. The draw's
key comes from (seed, position), so a request's tokens do not depend on who else is in the batch.
"""

import hashlib
import secrets
from collections.abc import Sequence

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling.finite import mark
from mlxd.worker.runtime.sampling.scores import log_sum_exp
from mlxd.worker.runtime.x86 import exp

_CANDIDATES = 1024  # of the vocabulary, most likely: top-p seldom wants more
_COLDEST = 1e-5  # below, dividing by the temperature overflows float32, and the draw is greedy anyway


def draw_seed() -> int:
    """Returns a seed for a request that names none."""
    return secrets.randbits(63)


def row_key(seed: int, position: int) -> tuple[int, int]:
    """Returns the random key of token ``position`` of a request, two 32-bit words."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")


def is_greedy(params: SamplingParams) -> bool:
    """Tells whether nothing is drawn, and the most likely token taken."""
    return params.temperature < _COLDEST


def sample(logits: mx.array, rows: Sequence[SamplingParams], keys: Sequence[tuple[int, int]]) -> mx.array:
    """Samples from ``logits`` ``[B, vocab]``, penalties applied already, the ids ``[B]``. Rows of temperature 0 take the most likely."""
    greedy = mx.argmax(logits, axis=-1)
    takes_first = [is_greedy(row) for row in rows]
    if all(takes_first):
        return greedy
    temperature = mx.array([max(row.temperature, _COLDEST) for row in rows])[:, None]
    drawn = _draw(logits.astype(mx.float32) / temperature, rows, mx.array(list(keys), dtype=mx.uint32))
    return mx.where(mx.array(takes_first), greedy, drawn)


def _draw(logits: mx.array, rows: Sequence[SamplingParams], keys: mx.array) -> mx.array:
    categorical = mx.vmap(lambda row, key: mx.random.categorical(row, key=key))
    if any(row.min_p for row in rows):
        least = mx.log(mx.array([row.min_p for row in rows]))[:, None]  # relative to the most likely
        logits = mx.where(logits >= mx.max(logits, axis=-1, keepdims=True) + least, logits, -mx.inf)
    if any(_is_ranked(row) for row in rows):
        total = log_sum_exp(logits)
        order = _most_likely(logits, total, rows)
        ranked = _filter(mx.take_along_axis(logits, order, axis=-1), total, rows)
        # Back in the vocabulary's order, so that a row draws as it does alone, however many others have to be ranked.
        chosen = mx.put_along_axis(mx.full(logits.shape, -mx.inf), order, ranked, axis=-1)
        logits = mx.where(mx.array([_is_ranked(row) for row in rows])[:, None], chosen, logits)
    return categorical(logits, keys)


def _is_ranked(row: SamplingParams) -> bool:
    return (row.top_k > 0 or row.top_p < 1) and not is_greedy(row)


def _most_likely(logits: mx.array, total: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Returns ids ``[B, N]``, the most likely first and of equals the lowest: as many as top-k and top-p may want. ``total`` is as in
    ``_filter``.

    To find a thousand takes a CPU a tenth of the time it takes to sort them all. Whether they are enough for top-p can only be seen by
    evaluating them; a GPU, which should not be waited for, sorts fast.
    """
    vocab = logits.shape[-1]
    count = max(_CANDIDATES, *(2 * row.top_k for row in rows))
    by_mass = [_is_ranked(row) and not row.top_k for row in rows]
    if count < vocab and (mx.default_device().type == mx.DeviceType.cpu or not any(by_mass)):
        found = mx.sort(mx.argpartition(-logits, count - 1, axis=-1)[:, :count], axis=-1)
        values = mx.take_along_axis(logits, found, axis=-1)
        needed = mx.array([row.top_p if counts else 0.0 for row, counts in zip(rows, by_mass, strict=True)])[:, None]
        if not any(by_mass) or mx.all(mx.sum(exp(values - total), axis=-1, keepdims=True) >= needed).item():
            return mx.take_along_axis(found, mx.argsort(-values, axis=-1), axis=-1)
    return mx.argsort(-logits, axis=-1)


def _filter(ranked: mx.array, total: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Turns what is filtered out of ``ranked`` ``[B, N]``, most likely first, into -inf. The first of a row always stays.

    ``total`` ``[B, 1]`` is the log-sum-exp of all there are, where top-k takes none away.
    """
    has_top_k = mx.array([row.top_k > 0 for row in rows])[:, None]
    top_k = mx.array([row.top_k for row in rows])[:, None]
    top_p = mx.array([row.top_p for row in rows])[:, None]
    rank = mx.arange(ranked.shape[-1])[None]
    ranked = mx.where(has_top_k & (rank >= top_k), -mx.inf, ranked)
    probabilities = exp(ranked - mx.where(has_top_k, log_sum_exp(ranked), total))
    before = mx.cumsum(probabilities, axis=-1) - probabilities
    return mx.where((before < top_p) | (rank == 0) | (top_p == 1), ranked, -mx.inf)


class RequestSampler:
    """A sampler for one request, as mlx-lm calls it: once per position, in order."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._seed = draw_seed() if params.seed is None else params.seed
        self._position = 0

    def __call__(self, logprobs: mx.array) -> mx.array:
        """Samples from ``[1, vocab]`` an id ``[1]``, to be read by ``finite.checked``."""
        key = row_key(self._seed, self._position)
        self._position += 1
        return mark(sample(logprobs, [self._params], [key]), logprobs)


def greedy(logprobs: mx.array) -> mx.array:
    """Returns the most likely ids ``[B]`` of ``[B, vocab]``, to be read by ``finite.checked``: one call for all rows that mlx-lm samples
    so.
    """
    return mark(mx.argmax(logprobs, axis=-1), logprobs)
