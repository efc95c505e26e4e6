"""What probes have in common: random tokens, and when logits count as the plain model's."""

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


def tolerance(loaded: LoadedModel) -> float:
    """Returns the largest ``difference`` that counts as rounding: more where the plain model itself depends on how its prompt is cut."""
    tokens = random_tokens(loaded, 20, attempt=ATTEMPTS)
    noise = difference(_last_logits(loaded.model, tokens), _last_logits(loaded.model, tokens[:11], tokens[11:]))
    return min(ROUNDED, max(ROUNDING.get(loaded.dtype, ROUNDED), _OF_NOISE * noise))


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
