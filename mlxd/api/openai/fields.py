"""The fields that chat and text completions share, checked and ready for the wire."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BeforeValidator, Field

from mlxd.api.jobs import Jobs, fanned_out
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.unsupported import STREAM_OPTIONS, Neutral, without_neutral
from mlxd.api.openai.validation import Strict, problem, whole
from mlxd.config.schema import SamplingTable
from mlxd.config.values import LEAST_REPETITION_PENALTY
from mlxd.errors import InvalidRequestError, excerpt
from mlxd.listener.json_text import json_type
from mlxd.types import SamplingParams
from mlxd.wire.messages import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import ChatPrompt, Prompt, TokenPrompt

INT32 = 2**31 - 1
_INT64 = 2**63 - 1
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,8}")
_MAX_STOPS = 64  # front ends for role play send the name of every character
_MAX_BIASES = 16_384
_MOST_PRIORITY = 100

T = TypeVar("T")
_Bias = Annotated[float, Field(ge=-100, le=100)]


def _stop_strings(value: object) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list):
        raise problem(f"must be a string or an array of strings, not {json_type(value)}")
    if len(stops) > _MAX_STOPS:
        raise problem(f"may have at most {_MAX_STOPS} strings, not {len(stops)}")
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise problem(f"must be a string, not {json_type(stop)}", at=f"[{index}]")
    return [stop for stop in stops if stop]  # an empty one, as forms send it, stops nothing


def _token_keys(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if len(value) > _MAX_BIASES:
        raise problem(f"may have at most {_MAX_BIASES} tokens, not {len(value)}")
    for key in value:
        if not _TOKEN_ID.fullmatch(key):
            raise problem(f'must have token ids such as "15043" as keys, not "{excerpt(key)}"')
    return value


class StreamOptions(Strict):
    """The options of a stream, which ends with a chunk of usage where it is to ``include_usage``."""

    include_usage: bool | None = None


class GenerationFields(Strict):
    """The fields of sampling, stopping and streaming. ``None`` means the model's configured default."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, BeforeValidator(whole), Field(ge=-1, le=INT32)] | None = None
    stop: Annotated[list[str], BeforeValidator(_stop_strings)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None  # 0: the most likely token only
    top_k: Annotated[int, BeforeValidator(whole), Field(ge=-1, le=INT32)] | None = None  # -1: off, as in vLLM
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=LEAST_REPETITION_PENALTY, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, _Bias], BeforeValidator(_token_keys)] | None = None
    seed: Annotated[int, BeforeValidator(whole), Field(ge=-_INT64 - 1, le=_INT64)] | None = None
    # lower goes first, as in vLLM
    priority: Annotated[int, BeforeValidator(whole), Field(ge=-_MOST_PRIORITY, le=_MOST_PRIORITY)] | None = None

    @property
    @abstractmethod
    def wire_prompt(self) -> Prompt:
        """Returns what to generate from."""

    @property
    @abstractmethod
    def token_limit(self) -> int | None:
        """Returns how many tokens to generate at most; None leaves it to the model's default."""

    @property
    def streamed(self) -> bool:
        """Tells whether the client asked for a stream."""
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        """Tells whether a stream ends with a chunk of usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def check_stream_options(self) -> None:
        """Raises ``InvalidRequestError`` where there are any and nothing streams."""
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream = true", param="stream_options")

    def to_wire(self, identity: str, model: ReadyModel) -> Jobs:
        """Returns the worker's jobs. Raises ``InvalidRequestError`` for token ids that this model lacks."""
        defaults, vocab_size = model.config.sampling, model.ready.vocab_size
        prompt = self.wire_prompt
        if isinstance(prompt, TokenPrompt):
            _check_tokens(prompt.token_ids, vocab_size)
        elif isinstance(prompt, ChatPrompt):
            prompt = msgspec.structs.replace(prompt, special_tokens=model.config.input.special_tokens)
        job = Generate(
            id=identity,
            prompt=prompt,
            sampling=self.sampling(defaults, vocab_size),
            max_tokens=self.token_limit or defaults.max_tokens,
            output=OutputSpec(stop=self.stop or []),
            priority=self.priority or 0,
        )
        return fanned_out(job, [prompt], 1)

    def sampling(self, defaults: SamplingTable, vocab_size: int) -> SamplingParams:
        """Returns the parameters, with the model's defaults where the request is silent. Raises ``InvalidRequestError`` for token ids the
        model lacks.
        """
        return SamplingParams(
            temperature=_or(self.temperature, defaults.temperature),
            top_p=_or(self.top_p, defaults.top_p) or 1.0,
            top_k=1 if self.top_p == 0 else max(0, _or(self.top_k, defaults.top_k)),
            min_p=_or(self.min_p, defaults.min_p),
            repetition_penalty=_or(self.repetition_penalty, defaults.repetition_penalty),
            presence_penalty=_or(self.presence_penalty, defaults.presence_penalty),
            frequency_penalty=_or(self.frequency_penalty, defaults.frequency_penalty),
            logit_bias=self._bias(vocab_size),
            seed=self.seed,
        )

    def _bias(self, vocab_size: int) -> dict[int, float]:
        bias = {int(token): value for token, value in (self.logit_bias or {}).items()}
        beyond = [token for token in bias if token >= vocab_size]
        if beyond:
            raise InvalidRequestError(
                f"logit_bias: token {beyond[0]} is beyond the model's vocabulary of {vocab_size}", param=f"logit_bias.{beyond[0]}"
            )
        return bias


def _check_tokens(token_ids: list[int], vocab_size: int) -> None:
    if max(token_ids) < vocab_size:
        return
    index = next(index for index, token in enumerate(token_ids) if token >= vocab_size)
    message = f"prompt[{index}] is token {token_ids[index]}, beyond the model's vocabulary of {vocab_size}"
    raise InvalidRequestError(message, param=f"prompt[{index}]")


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def supported(body: Mapping[str, Any], known: Mapping[str, Neutral]) -> dict[str, Any]:
    """Returns ``body`` without the fields that ask for nothing. Raises ``InvalidRequestError`` for one that is not supported yet."""
    fields = without_neutral(body, known)
    options = fields.get("stream_options")
    if isinstance(options, dict):
        fields["stream_options"] = without_neutral(options, STREAM_OPTIONS, "stream_options.")
    return fields
