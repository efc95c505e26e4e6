"""Which logits processors there are, in the order in which they apply; constraints come before them."""

from collections.abc import Collection

from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor
from mlxd.worker.runtime.sampling.no_end import NoEnd
from mlxd.worker.runtime.sampling.penalties import Penalties


def batch_processors(vocab: int, end_tokens: Collection[int]) -> list[LogitsProcessor]:
    """Returns those of a batch that nobody is in yet. ``end_tokens`` are the model's."""
    return [Penalties(vocab), NoEnd(vocab, end_tokens)]


def processors_of(request: EngineRequest, vocab: int, end_tokens: Collection[int]) -> list[LogitsProcessor]:
    """Returns those that one request asks for, with nobody else in them."""
    processors = batch_processors(vocab, end_tokens)
    for processor in processors:
        processor.open(request)
    return [processor for processor in processors if processor.concerns(request.id)]
