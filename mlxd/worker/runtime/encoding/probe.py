"""Does a model make of a text what its files say, and the same of it beside others? Asked at every load."""

import mlx.core as mx

from mlxd.errors import ModelSourceError
from mlxd.types import Task
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.runtime.encoding.encoding_model import EncodingModel
from mlxd.worker.runtime.proof import ROUNDED, ROUNDING

_LENGTHS = (5, 12, 3)  # tokens of the texts


def prove_encoder(model: EncodingModel, description: EncodingDescription, dtype: str, *, most_tokens: int) -> int:
    """Returns how many numbers a vector has, 1 of a score. Raises ``ModelSourceError`` where something is no number, or where it depends on
    the texts beside one.
    """
    where = description.directory.directory
    texts = [_text(model, min(length, most_tokens), number) for number, length in enumerate(_LENGTHS)]
    together, alone = _made(model, description, texts), _made(model, description, texts[:1])
    mx.eval(together, alone)
    mx.clear_cache()
    if not mx.all(mx.isfinite(together)).item():
        raise ModelSourceError(
            f'{where}: what the model makes of texts is infinite or no number in {dtype}; try dtype = "bfloat16" or "float32"'
        )
    scale = mx.maximum(mx.max(mx.abs(alone)), 1e-6)
    if float(mx.max(mx.abs(together[0] - alone[0])) / scale) > ROUNDING.get(dtype, ROUNDED):
        raise ModelSourceError(f"{where}: what the model makes of a text depends on the texts beside it")
    if description.task is Task.RERANK:
        return 1
    return _checked_width(description, model, int(together.shape[-1]))


def _checked_width(description: EncodingDescription, model: EncodingModel, found: int) -> int:
    pooling = description.pooling
    said = pooling.width if pooling else None
    if said is not None and said != model.encoder.width:
        raise ModelSourceError(
            f"{description.directory.directory}: the pooling is of vectors of {said} numbers, and the model's have {model.encoder.width}"
        )
    return found


def _made(model: EncodingModel, description: EncodingDescription, texts: list[EncodedInput]) -> mx.array:
    return model.scores(texts)[:, None] if description.task is Task.RERANK else model.vectors(texts)


def _text(model: EncodingModel, length: int, number: int) -> EncodedInput:
    """Returns a text of random tokens, the same ones for the same number."""
    tokens: list[int] = mx.random.randint(0, model.encoder.vocab_size, (length,), key=mx.random.key(number)).tolist()  # type: ignore[assignment]
    return EncodedInput(tokens, second=length // 2)
