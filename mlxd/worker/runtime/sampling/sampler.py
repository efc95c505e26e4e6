"""The next tokens of several sequences at once, each by its own parameters.

Order, as in vLLM: logit bias and penalties; temperature; min-p; top-k; top-p (over what is left); then a draw. The draw's
key comes from (seed, position), so a request's tokens do not depend on who else is in the batch.
"""

import hashlib
import secrets
from collections.abc import Sequence

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling.filters import filtered
from mlxd.worker.runtime.sampling.finite import mark
from mlxd.worker.runtime.sampling.remaining import drawn

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
    drawn = [at for at, row in enumerate(rows) if not is_greedy(row)]
    if len(drawn) == len(rows):
        return _draw(logits, rows, keys)
    tokens = mx.argmax(logits, axis=-1)
    if drawn:
        places = mx.array(drawn)
        tokens[places] = _draw(logits[places], [rows[at] for at in drawn], [keys[at] for at in drawn])
    return tokens


def _draw(logits: mx.array, rows: Sequence[SamplingParams], keys: Sequence[tuple[int, int]]) -> mx.array:
    temperature = mx.array([row.temperature for row in rows])[:, None]
    remaining = filtered(logits.astype(mx.float32) / temperature, rows)
    return drawn(remaining, mx.array(list(keys), dtype=mx.uint32), logits.shape[-1])


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
