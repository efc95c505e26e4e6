"""``POST /v1/completions``: here a text completion begins. What all endpoints share is in ``api/generate.py``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.dialect import Dialect
from mlxd.api.fields.abilities import Need
from mlxd.api.fields.generation import read_request
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import Rules
from mlxd.api.jobs import Jobs
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.answers import early_failure
from mlxd.api.openai.choices import MOST_CHOICES
from mlxd.api.openai.completion_answers import CompletionShape, CompletionStyle
from mlxd.api.openai.fields import CompletionFields
from mlxd.api.openai.leniency import COMPLETIONS
from mlxd.api.openai.stopping import check_tokens
from mlxd.api.openai.text_prompts import AnyPrompt, read_prompts
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError
from mlxd.listener.errors import openai_error_body
from mlxd.types import Ability
from mlxd.wire.jobs import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import TextPrompt, TokenPrompt

_MOST_CANDIDATES = 20  # for a token; OpenAI's limit is 5, vLLM's 20
_MOST_ANSWERS = 2048  # to all prompts

_TextPrompt = InstanceOf[TextPrompt] | InstanceOf[TokenPrompt]


class CompletionRequest(CompletionFields):
    """The body of a request for text completions: ``best_of`` are made for each prompt, the likeliest ``n`` of them answered."""

    tolerated: ClassVar[Rules] = COMPLETIONS

    prompt: Annotated[list[_TextPrompt], BeforeValidator(read_prompts, json_schema_input_type=AnyPrompt)]
    max_tokens: Annotated[int, Whole, Field(ge=-1, le=INT32)] | None = None
    best_of: Annotated[int, Whole, Field(ge=1, le=MOST_CHOICES)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Whole, Field(ge=0, le=_MOST_CANDIDATES)] | None = None
    add_special_tokens: bool | None = None  # None: true

    @override
    def prompts(self, model: ReadyModel) -> list[TextPrompt | TokenPrompt]:
        several = len(self.prompt) > 1
        return [self._checked(prompt, f"prompt[{index}]" if several else "prompt", model) for index, prompt in enumerate(self.prompt)]

    @property
    @override
    def token_limit(self) -> int | None:
        """Returns ``max_tokens``; None where it is unset or -1: up to the model's default."""
        return None if self.max_tokens == -1 else self.max_tokens

    @property
    @override
    def choices(self) -> int:
        """Returns how many answers are made for each prompt."""
        return self.best_of or self.kept

    @property
    def kept(self) -> int:
        """Returns how many of them are given."""
        return self.n or 1

    @property
    def style(self) -> CompletionStyle:
        """Returns what its answers have."""
        return CompletionStyle(per_prompt=self.choices, kept=self.kept, has_logprobs=self.logprobs is not None)

    @override
    def to_wire(self, identity: str, model: ReadyModel) -> Jobs:
        jobs = super().to_wire(identity, model)
        if self.streamed or not self.echo:
            return jobs
        # The log-probabilities of a prompt are computed anew each time, whatever is cached: once is enough for all of its answers.
        made = [job if index % jobs.per_prompt == 0 else _without_echo(job) for index, job in enumerate(jobs.all)]
        return Jobs(all=made, per_prompt=jobs.per_prompt)

    @override
    def needs(self) -> Iterator[Need]:
        yield from super().needs()
        if self.logprobs is not None:
            yield Need(Ability.PROMPT_LOGPROBS if self.echo else Ability.LOGPROBS, "logprobs")
        if self.choices > self.kept:
            yield Need(Ability.LOGPROBS, "best_of")

    @override
    def output(self, model: ReadyModel) -> OutputSpec:
        logprobs = 0 if self.logprobs is None and self.choices > self.kept else self.logprobs
        return msgspec.structs.replace(super().output(model), is_raw=True, echo=bool(self.echo), logprobs=logprobs)

    def _checked(self, prompt: TextPrompt | TokenPrompt, field: str, model: ReadyModel) -> TextPrompt | TokenPrompt:
        if isinstance(prompt, TokenPrompt):
            check_tokens(field, prompt.token_ids, model.ready.vocab_size)
            return prompt
        return msgspec.structs.replace(prompt, add_special_tokens=self.add_special_tokens is not False)

    @override
    def check(self) -> None:
        self.check_stream_options()
        if self.best_of is not None and self.best_of < self.kept:
            raise InvalidRequestError(f"best_of ({self.best_of}) is less than n ({self.kept})", param="best_of")
        if self.streamed and self.choices > self.kept:
            raise InvalidRequestError("best_of cannot choose from answers that stream: it must be equal to n", param="best_of")
        if len(self.prompt) * self.choices > _MOST_ANSWERS:
            message = f"{len(self.prompt)} prompts with {self.choices} answers each are more than {_MOST_ANSWERS} answers"
            raise InvalidRequestError(message, param="n" if self.best_of is None else "best_of")


def completion_request(body: Mapping[str, Any], unknown: UnknownFields) -> CompletionRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    return read_request(CompletionRequest, body, unknown)


def _without_echo(job: Generate) -> Generate:
    return msgspec.structs.replace(job, output=msgspec.structs.replace(job.output, echo=False))


def _shape(identity: str, model: ReadyModel, request: CompletionRequest) -> CompletionShape:
    return CompletionShape(identity, model, request.stream_usage, request.style, request.warnings)


TEXT_COMPLETIONS = Dialect(
    path="/v1/completions",
    endpoint="completions",
    answer_prefix="cmpl-",
    read=completion_request,
    shape=_shape,
    error=openai_error_body,
    early_failure=early_failure,
)
