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


def sample(logits: mx.array, rows: Sequence[SamplingParams], keys: Sequence[tuple[int, int]]) -> mx.array:
    """``logits`` ``[B, vocab]``, penalties applied already; the sampled ids ``[B]``. Rows of temperature 0 take the most likely."""
    greedy = mx.argmax(logits, axis=-1)
    is_greedy = [row.temperature < _COLDEST for row in rows]
    if all(is_greedy):
        return greedy
    temperature = mx.array([max(row.temperature, _COLDEST) for row in rows])[:, None]
    drawn = _draw(logits.astype(mx.float32) / temperature, rows, mx.array(list(keys), dtype=mx.uint32))
    return mx.where(mx.array(is_greedy), greedy, drawn)


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


class Penalties:
    """Logit bias and penalties of one sequence. Counts live on the device: one update per token, nothing read back.

    Repetition counts prompt and output (Keskar et al. 2019, CTRL); presence and frequency the output only, as OpenAI defines them.
    """

    def __init__(self, params: SamplingParams, prompt: Sequence[int], vocab: int) -> None:
        self._params = params
        self._bias = _bias(params.logit_bias, vocab)
        self._output = mx.zeros((vocab,), dtype=mx.int32)
        self._seen = mx.zeros((vocab,), dtype=mx.bool_)
        if params.repetition_penalty != 1:
            self._seen[mx.array(list(prompt))] = True

    @staticmethod
    def needed(params: SamplingParams) -> bool:
        """Whether these parameters change logits at all."""
        return bool(params.logit_bias) or (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) != (1, 0, 0)

    def add(self, token: mx.array) -> None:
        """One generated token, ``[1]``, possibly not evaluated yet."""
        self._output = self._output.at[token].add(1)
        self._seen[token] = True

    def apply(self, logits: mx.array) -> mx.array:
        """``logits`` ``[1, vocab]``."""
        params = self._params
        if self._bias is not None:
            logits = logits + self._bias
        if params.repetition_penalty != 1:
            penalised = mx.where(logits > 0, logits / params.repetition_penalty, logits * params.repetition_penalty)
            logits = mx.where(self._seen, penalised, logits)
        if params.presence_penalty or params.frequency_penalty:
            logits = logits - params.frequency_penalty * self._output - params.presence_penalty * (self._output > 0)
        return logits


def _bias(biases: dict[int, float], vocab: int) -> mx.array | None:
    if not biases:
        return None
    bias = mx.zeros((vocab,))
    bias[mx.array(list(biases))] = mx.array(list(biases.values()))
    return bias
