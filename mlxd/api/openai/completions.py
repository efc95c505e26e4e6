"""``POST /v1/completions``: here a text completion begins. What all endpoints share is in ``api/generate.py``."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.dialect import Dialect
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.completion_answers import CompletionShape
from mlxd.api.openai.fields import GenerationFields
from mlxd.api.openai.leniency import COMPLETIONS, Rules
from mlxd.api.openai.sampling import INT32, Whole
from mlxd.api.openai.stopping import check_tokens
from mlxd.api.openai.validation import lenient, problem
from mlxd.config.values import UnknownFields
from mlxd.errors import UnsupportedParameterError
from mlxd.listener.errors import openai_error_body
from mlxd.listener.json_text import json_type
from mlxd.wire.prompts import TextPrompt, TokenPrompt


def _prompt(value: object) -> TextPrompt | TokenPrompt:
    """Reads a string, token ids, or an array that holds exactly one of these."""
    if isinstance(value, list) and value and isinstance(value[0], str | list):
        if len(value) > 1:
            message = f"may hold one prompt, not {len(value)}: several prompts in one request are not supported yet"
            raise problem(message, error=UnsupportedParameterError)
        value = value[0]
    if value in ([], ""):
        raise problem("must not be empty")
    if isinstance(value, str):
        return TextPrompt(text=value)
    if not isinstance(value, list):
        raise problem(f"must be a string or an array of token ids, not {json_type(value)}")
    for index, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= INT32:
            raise problem("must be a token id: an integer, 0 or above", at=f"[{index}]")
    return TokenPrompt(token_ids=value)


class CompletionRequest(GenerationFields):
    """The body of a request for a text completion."""

    tolerated: ClassVar[Rules] = COMPLETIONS

    prompt: Annotated[InstanceOf[TextPrompt] | InstanceOf[TokenPrompt], BeforeValidator(_prompt)]
    max_tokens: Annotated[int, Whole, Field(ge=-1, le=INT32)] | None = None

    @override
    def prompts(self, model: ReadyModel) -> list[TextPrompt | TokenPrompt]:
        if isinstance(self.prompt, TokenPrompt):
            check_tokens("prompt", self.prompt.token_ids, model.ready.vocab_size)
        return [self.prompt]

    @property
    @override
    def token_limit(self) -> int | None:
        """Returns ``max_tokens``; None where it is unset or -1: up to the model's default."""
        return None if self.max_tokens == -1 else self.max_tokens


def completion_request(body: Mapping[str, Any], unknown: UnknownFields) -> CompletionRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    request, ignored = lenient(CompletionRequest, body, unknown)
    request.note_ignored(ignored)
    request.check_stream_options()
    if request.max_tokens == 0:  # asks for log-probabilities of the prompt, and for no answer
        message = "max_tokens of 0 is not supported yet; it must be at least 1, or -1 for no limit"
        raise UnsupportedParameterError(message, param="max_tokens")
    return request


TEXT_COMPLETIONS = Dialect(
    path="/v1/completions",
    endpoint="completions",
    answer_prefix="cmpl",
    read=completion_request,
    shape=lambda identity, model, request: CompletionShape(identity, model, request.stream_usage, request.warnings),
    error=openai_error_body,
)
