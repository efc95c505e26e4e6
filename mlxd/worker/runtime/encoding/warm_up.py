"""The first texts of a model that encodes: what cannot compute must not become ready, and what batches cost is known from then on."""

import time
from collections.abc import Callable

from mlxd.errors import ModelSourceError
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.engine.encoding.packed_inputs import PackedInputs
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.encoding.runner import EncodingRunner

_BATCHES = ((1, 1), (4, 12), (16, 12), (4, 120), (64, 12), (16, 120))  # so many texts, of so many words
_ENOUGH = 0.5  # seconds


def warm_up(runner: EncodingRunner, text_of: Callable[[int], EncodedInput], directory: object) -> None:
    """Computes batches of several shapes, until that takes too long; ``text_of`` makes a text of so many words. Raises ``ModelSourceError``
    that names the ``directory`` where something is wrong with the model.
    """
    began = time.monotonic()
    for count, words in _BATCHES:
        runner.add(EncodingRequest("warm-up", PackedInputs.of([text_of(words)] * count)))
        while not runner.is_idle:
            for error in runner.step().failed.values():
                raise ModelSourceError(f"{directory} was loaded but cannot encode: {error}") from error
        if time.monotonic() - began > _ENOUGH:
            return
