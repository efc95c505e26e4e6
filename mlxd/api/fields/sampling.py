"""The fields that say how the next token is drawn."""

import re
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from mlxd.api.fields.validation import Strict, problem, whole
from mlxd.config.model_tables import SamplingTable
from mlxd.config.values import LEAST_REPETITION_PENALTY
from mlxd.errors import InvalidRequestError, excerpt
from mlxd.types import SamplingParams

INT32 = 2**31 - 1
_INT64 = 2**63 - 1
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,8}")
_MAX_BIASES = 16_384

T = TypeVar("T")
Whole = BeforeValidator(whole)
_Bias = Annotated[float, Field(ge=-100, le=100)]
_RepetitionPenalty = Annotated[float, Field(ge=LEAST_REPETITION_PENALTY, le=2)]


def _token_keys(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if len(value) > _MAX_BIASES:
        raise problem(f"may have at most {_MAX_BIASES} tokens, not {len(value)}")
    for key in value:
        if not _TOKEN_ID.fullmatch(key):
            raise problem(f'must have token ids such as "15043" as keys, not "{excerpt(key)}"')
    return value


class SamplingFields(Strict):
    """The fields of sampling. ``None`` means the model's configured default. ``repeat_penalty`` is llama.cpp's name."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None  # 0: the most likely token only
    top_k: Annotated[int, Whole, Field(ge=-1, le=INT32)] | None = None  # -1: off, as in vLLM
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: _RepetitionPenalty | None = None
    repeat_penalty: _RepetitionPenalty | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, _Bias], BeforeValidator(_token_keys)] | None = None
    seed: Annotated[int, Whole, Field(ge=-_INT64 - 1, le=_INT64)] | None = None

    def sampling(self, defaults: SamplingTable, vocab_size: int) -> SamplingParams:
        """Returns the parameters, with the model's defaults where the request is silent. Raises ``InvalidRequestError`` for token ids the
        model lacks.
        """
        penalty = one_of("repetition_penalty", self.repetition_penalty, "repeat_penalty", self.repeat_penalty)
        return SamplingParams(
            temperature=_or(self.temperature, defaults.temperature),
            top_p=_or(self.top_p, defaults.top_p) or 1.0,
            top_k=1 if self.top_p == 0 else max(0, _or(self.top_k, defaults.top_k)),
            min_p=_or(self.min_p, defaults.min_p),
            repetition_penalty=_or(penalty, defaults.repetition_penalty),
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


def one_of(name: str, value: T | None, other_name: str, other: T | None) -> T | None:
    """Returns the value of a field that has two names. Raises ``InvalidRequestError`` where both are given and differ."""
    if value is not None and other is not None and value != other:
        raise InvalidRequestError(f"{name} ({value}) and {other_name} ({other}) differ; give one of them", param=other_name)
    return other if value is None else value


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
