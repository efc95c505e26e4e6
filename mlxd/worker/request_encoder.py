"""From a request as it arrives to one the engine can compute: everything that takes the longer the longer a prompt is."""

from collections.abc import Iterable

import msgspec

from mlxd.errors import InvalidRequestError, UnsupportedParameterError
from mlxd.wire.messages import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.prompt import PromptEncoder


class RequestEncoder:
    """An encoder of the requests of one model, for any thread. ``block_size`` is that of a paged cache, None where there is none.
    ``constraints`` None means that nothing can be enforced of its answers.
    """

    def __init__(self, prompts: PromptEncoder, block_size: int | None, constraints: AnswerConstraints | None = None) -> None:
        self._prompts = prompts
        self._block_size = block_size
        self._constraints = constraints

    def encode(self, generate: Generate, arrived: float) -> EngineRequest:
        """Returns the request with its prompt's tokens, and the names of their blocks. Raises a ``MlxdError`` for everything that
        can be wrong with it before it is queued.
        """
        self._check(generate.sampling.logit_bias, "logit_bias")
        self._check(generate.stopping.token_ids, "stop_token_ids")
        prompt = self._prompts.encode(generate.prompt, generate.max_tokens)
        output = generate.output
        return EngineRequest(
            generate.id,
            prompt,
            generate.sampling,
            chain=None if self._block_size is None else BlockChain.of(prompt, self._block_size),
            stopping=generate.stopping,
            logprobs=output.logprobs,
            prompt_logprobs=output.echo and output.logprobs is not None,
            priority=generate.priority,
            arrived=arrived,
        )

    def is_constrained(self, spec: OutputSpec) -> bool:
        """Tells whether an answer may not be anything, so that ``constrain`` is to be called."""
        if self._constraints is not None:
            return self._constraints.is_wanted(spec)
        return spec.constraint is not None or spec.thinking_budget is not None or (spec.tools is not None and spec.tools.required)

    def constrain(self, request: EngineRequest, spec: OutputSpec) -> None:
        """Gives a request the constraint of its answer, if it asks for one; the grammar then says where the answer ends, whatever
        ``Stopping`` does. It takes up to a second. Raises ``InvalidRequestError`` for what cannot be enforced.
        """
        if self._constraints is None:
            raise UnsupportedParameterError("what this model's answers consist of cannot be enforced: the log of its worker says why")
        request.constraint = self._constraints.of(spec, request.prompt.opening)
        if self._constraints.has_grammar(spec):
            request.stopping = msgspec.structs.replace(request.stopping, min_tokens=0, ignore_end=False)

    def _check(self, tokens: Iterable[int], field: str) -> None:
        """Refuses ids that are no tokens: MLX does not check indices, and would write past the end."""
        size = self._prompts.vocab_size
        for token in tokens:
            if not 0 <= token < size:
                raise InvalidRequestError(f"token {token} of {field} is outside the vocabulary of {size}", param=field)
