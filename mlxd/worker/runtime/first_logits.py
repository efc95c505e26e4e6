"""Is what was loaded made of numbers? A model with one NaN in a norm answers every request with the same token, and says 200."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import AGAIN, JsonDocument
from mlxd.worker.runtime.library_errors import configuration_causes

_MOST = 48  # tokens
_FIRST = [0, 0, 0, 0]  # where there is no conversation to begin with


def check_weights(model: Any, dtype: str, directory: Path) -> None:
    """Raises ``ModelSourceError`` that names the first weight in which something is infinite or not a number."""
    weights = [(name, value) for name, value in tree_flatten(model.parameters()) if mx.issubdtype(value.dtype, mx.floating) and value.size]
    sums = [mx.isfinite(mx.sum(value)) for _, value in weights]  # one reading of the weights, and no memory
    mx.eval(sums)
    for (name, value), is_finite in zip(weights, sums, strict=True):
        if not is_finite.item() and not _are_finite(value):  # a sum of half floats may be infinite and every one of them finite
            remedy = AGAIN if dtype == "float32" else f'{AGAIN}, or load it with dtype = "float32" if {dtype} cannot hold them'
            raise ModelSourceError(f"{directory}: the weight {name} holds values that are infinite or not a number; {remedy}")


def first_logits(model: Any, greeting: Sequence[int], dtype: str, config: JsonDocument) -> int:
    """Returns the width of the model's logits, for a short prompt and the token after it.

    Raises ``ModelSourceError`` where nothing can be drawn from them, as with activations that are too large for the type.
    """
    width = int(model(mx.array(_FIRST)[None], cache=make_prompt_cache(model)).shape[-1])
    known = [token for token in greeting if token < width]  # nothing checks that an embedding has the row it is asked for
    prompt = known[:_MOST] or _FIRST
    cache = make_prompt_cache(model)
    for tokens in (prompt, prompt[-1:]):
        logits: mx.array = model(mx.array(tokens)[None], cache=cache)
        if not _are_usable(logits):
            seen = configuration_causes(config) or "its weights are damaged, or its activations too large for the type"
            raise ModelSourceError(
                f"{config.path.parent}: the model's logits are infinite or not numbers in {dtype}: {seen}; "
                'try dtype = "bfloat16" or "float32"'
            )
    mx.clear_cache()
    return width


def _are_usable(logits: mx.array) -> bool:
    """Tells whether each row has a token that can be drawn; some models forbid tokens by minus infinity."""
    highest = mx.max(logits, axis=-1)
    return bool(mx.all(mx.isfinite(highest)).item())  # the highest of numbers and one that is none is none


def _are_finite(value: mx.array) -> bool:
    return bool((mx.isfinite(mx.max(value)) & mx.isfinite(mx.min(value))).item())
