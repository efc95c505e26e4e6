"""From a request as it arrives to one the engine can compute: everything that takes the longer the longer a prompt is."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, takewhile

import msgspec

from mlxd.errors import InvalidRequestError, MlxdError, UnsupportedParameterError
from mlxd.types import Limits, SpeculationKind
from mlxd.wire.jobs import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import Prompt, TextPrompt
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.speculation.indexed_text import IndexedText
from mlxd.worker.facts.adapters.fit import FittedAdapter
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import NOTHING, Seen


@dataclass(frozen=True)
class _Encoded:
    """A prompt, and what became of it."""

    prompt: Prompt
    max_tokens: int | None
    result: EncodedPrompt | MlxdError
    looked_up: IndexedText | None


class RequestEncoder:
    """An encoder of the requests of one model, for any thread. ``block_size`` is that of a paged cache, None where there is none.
    ``constraints`` None means that nothing can be enforced of its answers. Where its runner ``looks_up`` what answers repeat, prompts are
    indexed for that.
    """

    def __init__(
        self, prompts: PromptEncoder, block_size: int | None, constraints: AnswerConstraints | None = None, *, looks_up: bool = False
    ) -> None:
        self._prompts = prompts
        self._can_look_up = looks_up
        self._looks_up = False
        self._block_size = block_size
        self._constraints = constraints
        self._last: _Encoded | None = None

    def encode(self, generate: Generate, arrived: float, seen: Seen = NOTHING, adapter: FittedAdapter | None = None) -> EngineRequest:
        """Returns the request with its prompt's tokens, and the names of their blocks; ``seen`` is what was made of its media. What is
        computed with an ``adapter`` shares nothing with what is computed with others.

        Raises a ``MlxdError`` for everything that can be wrong with it before it is queued.
        """
        self._check(generate.sampling.logit_bias, "logit_bias")
        self._check(generate.stopping.token_ids, "stop_token_ids")
        encoded, looked_up = self._encoded(generate, seen)
        prompt = encoded.salted(generate.salt)
        if adapter is not None:
            prompt = prompt.adapted(adapter.identity)
        output = generate.output
        return EngineRequest(
            generate.id,
            prompt,
            generate.sampling,
            chain=None if self._block_size is None else BlockChain.of(prompt, self._block_size),
            stopping=generate.stopping,
            logprobs=output.logprobs,
            prompt_logprobs=output.echo and output.logprobs is not None,
            looked_up=looked_up,
            predicted=self._predicted(output),
            adapter=adapter,
            priority=generate.priority or 0,
            holder=generate.holder,
            parent=generate.parent,
            arrived=arrived,
        )

    @property
    def grammar_bytes(self) -> int:
        """Returns about how much memory grammars and the vocabulary for them take, in bytes."""
        return self._constraints.nbytes if self._constraints is not None else 0

    def reconfigure(self, limits: Limits) -> None:
        """Makes the limits hold from the next request on."""
        self._looks_up = self._can_look_up and limits.speculation in {SpeculationKind.AUTO, SpeculationKind.LOOKUP}

    def _predicted(self, output: OutputSpec) -> IndexedText | None:
        """Returns as much of the prediction as an answer could have, of tokens that the model knows: it is computed like any other, and a
        prediction refuses nothing.
        """
        if not output.predicted or not self._looks_up:
            return None
        bounds = self._prompts.bounds
        text = TextPrompt(text=output.predicted[: bounds.most_characters], add_special_tokens=False)
        known = takewhile(self._prompts.vocab_size.__gt__, self._prompts.tokenize(text))
        tokens = list(islice(known, bounds.context_length))
        return IndexedText.of(tokens) if tokens else None

    def _encoded(self, generate: Generate, seen: Seen) -> tuple[EncodedPrompt, IndexedText | None]:
        """Returns the prompt's tokens, and their index where they are looked up. The job before may have had them already: several answers
        to one prompt are jobs that come right behind each other, and a long prompt takes its time.
        """
        known = self._last
        if known is None or known.max_tokens != generate.max_tokens or known.prompt != generate.prompt:
            result = self._result(generate, seen)
            indexed = IndexedText.of(result.tokens) if self._looks_up and isinstance(result, EncodedPrompt) else None
            known = _Encoded(generate.prompt, generate.max_tokens, result, indexed)
        self._last = known if generate.behind else None
        if isinstance(known.result, MlxdError):
            raise known.result
        return known.result, known.looked_up

    def _result(self, generate: Generate, seen: Seen) -> EncodedPrompt | MlxdError:
        try:
            return self._prompts.encode(generate.prompt, generate.max_tokens, seen)
        except MlxdError as error:
            return error

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
        request.constraint = self._constraints.of(spec, request.prompt.opening, request.max_tokens)
        if self._constraints.has_grammar(spec):
            request.stopping = msgspec.structs.replace(request.stopping, min_tokens=0, ignore_end=False)

    def _check(self, tokens: Iterable[int], field: str) -> None:
        """Refuses ids that are no tokens: MLX does not check indices, and would write past the end."""
        size = self._prompts.vocab_size
        for token in tokens:
            if not 0 <= token < size:
                raise InvalidRequestError(f"token {token} of {field} is outside the vocabulary of {size}", param=field)
