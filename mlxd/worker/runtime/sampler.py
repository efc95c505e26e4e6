"""The next tokens of several sequences at once, each by its own parameters.

Order, as in vLLM: logit bias and penalties; temperature; min-p; top-k; top-p (over what is left); then a draw. The draw's
key comes from (seed, position), so a request's tokens do not depend on who else is in the batch.
"""

import hashlib
import secrets
from collections.abc import Sequence

import mlx.core as mx

from mlxd.types import SamplingParams

_COLDEST = 1e-5  # below, dividing by the temperature overflows float32, and the draw is greedy anyway


def draw_seed() -> int:
    """For a request that names none."""
    return secrets.randbits(63)


def row_key(seed: int, position: int) -> tuple[int, int]:
    """The random key of token ``position`` of a request, two 32-bit words."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")


def is_greedy(params: SamplingParams) -> bool:
    """Nothing is drawn: the most likely token it is."""
    return params.temperature < _COLDEST


def sample(logits: mx.array, rows: Sequence[SamplingParams], keys: Sequence[tuple[int, int]]) -> mx.array:
    """``logits`` ``[B, vocab]``, penalties applied already; the sampled ids ``[B]``. Rows of temperature 0 take the most likely."""
    greedy = mx.argmax(logits, axis=-1)
    takes_first = [is_greedy(row) for row in rows]
    if all(takes_first):
        return greedy
    temperature = mx.array([max(row.temperature, _COLDEST) for row in rows])[:, None]
    drawn = _draw(logits.astype(mx.float32) / temperature, rows, mx.array(list(keys), dtype=mx.uint32))
    return mx.where(mx.array(takes_first), greedy, drawn)


def _draw(logits: mx.array, rows: Sequence[SamplingParams], keys: mx.array) -> mx.array:
    categorical = mx.vmap(lambda row, key: mx.random.categorical(row, key=key))
    if all(row.top_p == 1 and row.top_k == 0 and row.min_p == 0 for row in rows):
        return categorical(logits, keys)
    order = mx.argsort(-logits, axis=-1)
    ranked = mx.take_along_axis(logits, order, axis=-1)
    # Back in the vocabulary's order: a row that filters nothing then draws as it does alone.
    filtered = mx.put_along_axis(logits, order, _filter(ranked, rows), axis=-1)
    return categorical(filtered, keys)


def _filter(ranked: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """``ranked`` ``[B, vocab]``, most likely first; what is filtered out becomes -inf. The first of a row always stays."""
    vocab = ranked.shape[-1]
    top_k = mx.array([row.top_k or vocab for row in rows])[:, None]
    min_p = mx.array([row.min_p for row in rows])[:, None]
    top_p = mx.array([row.top_p for row in rows])[:, None]
    rank = mx.arange(vocab)[None]
    likelihood = mx.exp(ranked - ranked[:, :1])  # relative to the most likely
    ranked = mx.where((rank < top_k) & (likelihood >= min_p), ranked, -mx.inf)
    probabilities = mx.softmax(ranked, axis=-1)
    before = mx.cumsum(probabilities, axis=-1) - probabilities
    return mx.where((before < top_p) | (rank == 0), ranked, -mx.inf)


class RequestSampler:
    """For one request, as mlx-lm calls it: once per position, in order."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._seed = draw_seed() if params.seed is None else params.seed
        self._position = 0

    def __call__(self, logprobs: mx.array) -> mx.array:
        """``[1, vocab]`` to ``[1]``."""
        key = row_key(self._seed, self._position)
        self._position += 1
        return sample(logprobs, [self._params], [key])
