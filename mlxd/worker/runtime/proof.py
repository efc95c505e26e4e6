"""What probes have in common: random tokens, and when logits count as the plain model's."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlxd.worker.runtime.loading import LoadedModel

ATTEMPTS = 3  # rounding may send a token to another expert: then other tokens decide

# Differences are in standard deviations of the plain logits. Wrong attention is wrong by about one; rounding, in float32, by 1e-5. Two
# right ways to compute the same differ by up to 0.03 in float16 and 0.2 in bfloat16, which has an eighth of its precision.
ROUNDING = {"float32": 2e-3, "float16": 0.05, "bfloat16": 0.25}
ROUNDED = 0.25  # the most, with whatever is rounded
_OF_NOISE = 8  # times


class Tolerance:
    """What counts as rounding: a ``difference`` of at most ``least``, of at most what is usual in the model's type, or of at most what the
    plain model itself makes of how its prompt is cut. That takes two prompts: it is found out where the others do not suffice.
    """

    def __init__(self, loaded: LoadedModel, *, least: float = 0.0) -> None:
        self._loaded = loaded
        self._least = max(least, ROUNDING.get(loaded.dtype, ROUNDED))

    def allows(self, found: float) -> bool:
        """Tells whether a ``difference`` is rounding."""
        return found <= self._least or (found <= ROUNDED and found <= _OF_NOISE * self._noise)

    def best(self, attempted: Callable[[int], float]) -> float:
        """Returns the ``difference`` of the first attempt that is rounding, or the smallest of all."""
        found = float("inf")
        for attempt in range(ATTEMPTS):
            found = min(found, attempted(attempt))
            if self.allows(found):
                break
        return found

    @cached_property
    def _noise(self) -> float:
        tokens = random_tokens(self._loaded, 20, attempt=ATTEMPTS)
        whole, cut = _last_logits(self._loaded.model, tokens), _last_logits(self._loaded.model, tokens[:11], tokens[11:])
        return difference(whole, cut)


def _last_logits(model: Any, *chunks: list[int]) -> mx.array:
    """Returns the logits of the plain model after the chunks, ``[1, vocab]``."""
    cache = make_prompt_cache(model)
    for chunk in chunks:
        logits: mx.array = model(mx.array(chunk)[None], cache=cache)[:, -1]
    return logits


def random_tokens(loaded: LoadedModel, count: int, attempt: int) -> list[int]:
    """Returns the same tokens for the same attempt."""
    tokens: list[int] = mx.random.randint(0, loaded.vocab_size, (count,), key=mx.random.key(attempt)).tolist()  # type: ignore[assignment]
    return tokens


def difference(plain: mx.array, found: mx.array) -> float:
    """Returns the largest difference of two ``[n, vocab]``, in standard deviations of a row.

    It is infinite where shapes differ, or something is no number.
    """
    if plain.shape != found.shape:
        return float("inf")
    plain, found = plain.astype(mx.float32), found.astype(mx.float32)
    worst = (mx.abs(plain - found).max(axis=-1) / mx.maximum(mx.std(plain, axis=-1), 1e-6)).max()
    return float(worst) if mx.isfinite(worst) else float("inf")
