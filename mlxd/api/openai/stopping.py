"""The fields that say what ends an answer."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.validation import Strict, problem
from mlxd.errors import InvalidRequestError
from mlxd.listener.json_text import json_type
from mlxd.types import Stopping

_MAX_STOPS = 64  # front ends for role play send the name of every character
_MAX_STOP_TOKENS = 256

TokenId = Annotated[int, Whole, Field(ge=0, le=INT32)]


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


class StoppingFields(Strict):
    """The fields that say what ends an answer, and what of its end is shown; as in vLLM, beside OpenAI's ``stop``."""

    stop: Annotated[list[str], BeforeValidator(_stop_strings, json_schema_input_type=str | list[str])] | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=_MAX_STOP_TOKENS)] | None = None
    min_tokens: Annotated[int, Whole, Field(ge=0, le=INT32)] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None  # None: true

    @property
    def stop_strings(self) -> list[str]:
        """Returns what the answer's content ends before."""
        return self.stop or []

    def stopping(self, vocab_size: int) -> Stopping:
        """Returns which tokens end the answer. Raises ``InvalidRequestError`` for token ids the model lacks."""
        token_ids = self.stop_token_ids or []
        check_tokens("stop_token_ids", token_ids, vocab_size)
        return Stopping(min_tokens=self.min_tokens or 0, ignore_end=bool(self.ignore_eos), token_ids=token_ids)

    def check_least(self, most: int | None) -> None:
        """Raises ``InvalidRequestError`` where an answer is to have more than its ``most`` tokens."""
        if most is not None and (self.min_tokens or 0) > most:
            raise InvalidRequestError(f"min_tokens ({self.min_tokens}) is more than max_tokens ({most})", param="min_tokens")


def check_tokens(field: str, token_ids: Sequence[int], vocab_size: int) -> None:
    """Raises ``InvalidRequestError`` naming the first token of the field that the model lacks."""
    if max(token_ids, default=0) < vocab_size:
        return
    index = next(index for index, token in enumerate(token_ids) if token >= vocab_size)
    message = f"{field}[{index}] is token {token_ids[index]}, beyond the model's vocabulary of {vocab_size}"
    raise InvalidRequestError(message, param=f"{field}[{index}]")
