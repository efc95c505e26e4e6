"""What mlx-lm is to do with the logits of one request, and what its tokens are."""

from collections.abc import Collection
from functools import cached_property
from typing import Any

from mlxd.worker.engine.mask_pool import MaskPool
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.sampling.finite import checked
from mlxd.worker.runtime.sampling.masks import Constrained
from mlxd.worker.runtime.sampling.mlx_lm_processor import MlxLmProcessor, RawLogits
from mlxd.worker.runtime.sampling.processors import processors_of


class TokenStream:
    """The tokens of one request, as mlx-lm samples them one after the other. A request that waits costs nothing yet."""

    def __init__(self, request: EngineRequest, loaded: LoadedModel, masks: MaskPool) -> None:
        self.ends: Collection[int] = request.ends(loaded.end_tokens)
        self._request = request
        self._loaded = loaded
        self._masks = masks
        self._taken = 0
        self._raw = None if request.logprobs is None else RawLogits(request.logprobs)

    @property
    def processors(self) -> list[Any]:
        """Returns what mlx-lm calls with the logits of each position, in order; nothing where the request asks for nothing."""
        return [one for one in (self._raw, self._process) if one is not None]

    def take(self, token: int) -> SampledToken:
        """Returns the next token, as mlx-lm hands it out: when it has computed the one behind it. Raises what a processor has raised before
        it was sampled, and ``NotFiniteError``.
        """
        self._taken += 1
        if self._process is not None and self._process.error is not None and self._taken > self._process.good:
            raise self._process.error
        number = checked(token)
        return SampledToken(number) if self._raw is None else self._raw.score(number)

    @cached_property
    def _process(self) -> MlxLmProcessor | None:
        request, loaded = self._request, self._loaded
        processors = processors_of(request, loaded.vocab_size, loaded.end_tokens)
        if request.constraint is not None:
            constrained = Constrained(self._masks)
            constrained.open(request)
            processors = [constrained, *processors]
        return MlxLmProcessor(request.id, processors) if processors else None
