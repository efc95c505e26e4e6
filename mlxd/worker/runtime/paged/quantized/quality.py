"""How well a model predicts a text with quantized keys and values, beside itself without any: perplexity, and which token is the first."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import exp, inf
from pathlib import Path
from typing import cast

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlxd.wire.key_value_facts import KeyValueQuality
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry

_TEXT = Path(__file__).parent / "text.txt"
_MOST = 384  # tokens
_MOST_SURPRISE = 700  # whose exponential is a float still
_AT_ONCE = 64  # tokens: logits of so many take some ten megabytes


@dataclass(frozen=True)
class _Predicted:
    """What a model makes of a text: the logarithms of its tokens' probabilities, and the most likely token in the place of each."""

    logprobs: list[float]
    firsts: list[int]

    @property
    def perplexity(self) -> float:
        surprise = -sum(self.logprobs) / len(self.logprobs)
        return inf if surprise > _MOST_SURPRISE else exp(surprise)


def quality(loaded: LoadedModel, model: PagedModel, tokens: list[int]) -> KeyValueQuality:
    """Returns how well ``model``, which is ``loaded`` over a paged cache, predicts two or more ``tokens``. It forgets what it holds."""
    plain, found = _predicted(_plain_logits(loaded, tokens), tokens), _predicted(_paged_logits(model, tokens), tokens)
    agreeing = sum(one == other for one, other in zip(plain.firsts, found.firsts, strict=True))
    return KeyValueQuality(
        tokens=len(plain.firsts),
        perplexity=found.perplexity,
        plain_perplexity=plain.perplexity,
        agreement=agreeing / len(plain.firsts),
    )


def text_tokens(loaded: LoadedModel) -> list[int]:
    """Returns the tokens of a text in English with some numbers and code, as a completion would have them: as many as the model knows, and
    its context holds.
    """
    tokens = loaded.tokenizer.encode(_TEXT.read_text(encoding="utf-8"), add_special_tokens=True)
    return [token for token in tokens if token < loaded.vocab_size][: min(_MOST, loaded.context_length)]


def _predicted(pieces: Iterable[mx.array], tokens: list[int]) -> _Predicted:
    """Reads logits ``[n, vocab]``, piece after piece, each row a prediction of the next of ``tokens``."""
    predicted, place = _Predicted([], []), 1
    for logits in pieces:
        wide = logits.astype(mx.float32)
        following = mx.array(tokens[place : place + logits.shape[0]])
        logprobs = mx.take_along_axis(wide, following[:, None], axis=-1)[:, 0] - mx.logsumexp(wide, axis=-1)
        predicted.logprobs.extend(cast("list[float]", logprobs.tolist()))
        predicted.firsts.extend(cast("list[int]", mx.argmax(wide, axis=-1).tolist()))
        place += logits.shape[0]
    return predicted


def _plain_logits(loaded: LoadedModel, tokens: list[int]) -> Iterator[mx.array]:
    cache = make_prompt_cache(loaded.model)
    for start, stop in _pieces(tokens):
        yield loaded.model(mx.array(tokens[start:stop])[None], cache=cache)[0]


def _paged_logits(model: PagedModel, tokens: list[int]) -> Iterator[mx.array]:
    size = model.geometry.block_size
    blocks = -(-len(tokens) // size)
    model.resize(Geometry(size, blocks))
    for start, stop in _pieces(tokens):
        taken = tuple(tokens[start:stop])
        chunk = Chunk("text", start, stop - start, taken, (Run(0, blocks),), samples=False, targets=tuple(tokens[start + 1 : stop + 1]))
        (targets,) = model.forward(StepPlan(chunks=(chunk,)), mx.array(taken)).targets
        mx.eval(targets.rows, *model.tensors())
        yield targets.rows


def _pieces(tokens: list[int]) -> Iterator[tuple[int, int]]:
    """Yields the bounds of pieces of all tokens but the last, which predicts nothing that is known."""
    return itertools.pairwise([*range(0, len(tokens) - 1, _AT_ONCE), len(tokens) - 1])
