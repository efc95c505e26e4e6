"""Is mlx-lm's batching right for this model? Prompts of different lengths must give the plain model's logits side by side."""

from functools import partial
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlxd.errors import MlxdError
from mlxd.worker.runtime.entries.contiguous_runner import make_generator
from mlxd.worker.runtime.library_errors import in_a_line
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.proof import Tolerance, difference, random_tokens

# Tokens of the prompts: the longer, the more is proved. Three, for a wrong mask can fit by chance where the batch is as large as the
# number of KV heads.
_LENGTHS = {"cpu": (49, 13, 6), "gpu": (601, 150, 6)}
_TOKENS = 6  # generated after each


class NotBatchableError(MlxdError):
    """The model's caches cannot be batched, or its logits in a batch are not those of the plain model."""

    code = "not_batchable"


def prove_batching(loaded: LoadedModel) -> None:
    """Raises ``NotBatchableError`` with the reason where mlx-lm's batching is not right for the model."""
    tolerance = Tolerance(loaded)
    try:
        found = tolerance.best(partial(_difference, loaded))
    except Exception as error:
        raise NotBatchableError(f"its caches cannot be batched ({in_a_line(error)})") from error
    if not tolerance.allows(found):
        raise NotBatchableError(f"its logits in a batch differ from the plain model's by {found:.2g} standard deviations")


def _difference(loaded: LoadedModel, attempt: int) -> float:
    prompts = [random_tokens(loaded, length, attempt) for length in _LENGTHS[loaded.device]]
    batched = _batched(loaded, prompts)
    return max(difference(_plain(loaded.model, prompt, tokens), rows) for prompt, (tokens, rows) in zip(prompts, batched, strict=True))


def _batched(loaded: LoadedModel, prompts: list[list[int]]) -> list[tuple[list[int], mx.array]]:
    """Returns for each prompt the tokens generated, and the log-probabilities each was taken from, ``[n, vocab]``."""
    generator = make_generator(loaded.model, stop_tokens=())
    uids = generator.insert(prompts, max_tokens=[_TOKENS] * len(prompts))
    found: dict[int, list[Any]] = {uid: [] for uid in uids}
    while any(len(responses) < _TOKENS for responses in found.values()):
        for response in generator.next()[1]:
            found[response.uid].append(response)
    return [([one.token for one in found[uid]], mx.stack([one.logprobs for one in found[uid]])) for uid in uids]


def _plain(model: Any, prompt: list[int], tokens: list[int]) -> mx.array:
    """Returns the log-probabilities after the prompt, and after each token but the last, as the batch gives them."""
    cache = make_prompt_cache(model)
    rows = [model(mx.array(part)[None], cache=cache)[0, -1] for part in (prompt, *([token] for token in tokens[:-1]))]
    logits = mx.stack(rows)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)
