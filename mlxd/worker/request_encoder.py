"""From a request as it arrives to one the engine can compute: everything that takes the longer the longer a prompt is."""

from mlxd.errors import InvalidRequestError
from mlxd.types import SamplingParams
from mlxd.wire.messages import Generate
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.text.prompt import PromptEncoder


class RequestEncoder:
    """An encoder of the requests of one model, for any thread. ``block_size`` is that of a paged cache, None where there is none."""

    def __init__(self, prompts: PromptEncoder, block_size: int | None) -> None:
        self._prompts = prompts
        self._block_size = block_size

    def encode(self, generate: Generate, arrived: float) -> EngineRequest:
        """Returns the request with its prompt's tokens, and the names of their blocks. Raises a ``MlxdError`` for everything that
        can be wrong with it before it is queued.
        """
        self._check(generate.sampling)
        prompt = self._prompts.encode(generate.prompt, generate.max_tokens)
        chain = None if self._block_size is None else BlockChain.of(prompt, self._block_size)
        return EngineRequest(generate.id, prompt, generate.sampling, chain, priority=generate.priority, arrived=arrived)

    def _check(self, sampling: SamplingParams) -> None:
        size = self._prompts.vocab_size
        for token in sampling.logit_bias:
            if not 0 <= token < size:  # MLX does not check indices: it would write past the end
                raise InvalidRequestError(f"token {token} of logit_bias is outside the vocabulary of {size}", param="logit_bias")
