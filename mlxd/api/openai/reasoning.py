"""The fields that say how much a model thinks before it answers, and those for its chat template."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field

from mlxd.api.fields.effort import Effort
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.template_variables import TemplateVariables
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, nothing_if_empty
from mlxd.api.openai.leniency import REASONING, THINKING
from mlxd.errors import InvalidRequestError

_Budget = Annotated[int, Whole, Field(ge=-1, le=INT32)]  # -1: no limit


class Reasoning(Strict):
    """OpenRouter's ``reasoning``; ``effort`` is also how OpenAI's Responses API writes it."""

    tolerated: ClassVar[Rules] = REASONING

    effort: Effort | None = None
    max_tokens: _Budget | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class Thinking(Strict):
    """The ``thinking`` of Anthropic, DeepSeek, GLM and Kimi."""

    tolerated: ClassVar[Rules] = THINKING

    type: Literal["enabled", "disabled", "auto", "adaptive"] | None = None
    budget_tokens: _Budget | None = None


class ReasoningFields(Strict):
    """The fields about reasoning, which have many names, and about the template."""

    reasoning_effort: Annotated[Effort | None, BeforeValidator(nothing_if_empty)] = None
    reasoning: Reasoning | None = None
    thinking: Thinking | None = None
    enable_thinking: bool | None = None
    think: bool | None = None  # Ollama's name of it
    thinking_budget: _Budget | None = None  # tokens, as of Qwen
    thinking_token_budget: _Budget | None = None  # vLLM's name of it
    thinking_budget_tokens: _Budget | None = None  # llama.cpp's
    reasoning_budget: _Budget | None = None
    include_reasoning: bool | None = None
    chat_template_kwargs: TemplateVariables | None = None

    def effort(self) -> str | None:
        """Returns how much is to be thought. Raises ``InvalidRequestError`` where two fields differ."""
        below = self.reasoning.effort if self.reasoning is not None else None
        given: list[tuple[str, Effort | None]] = [("reasoning_effort", self.reasoning_effort), ("reasoning.effort", below)]
        found = _agreed(given)
        return None if found is None else found[1]

    def budget(self) -> tuple[str, int] | None:
        """Returns how many tokens of reasoning there may be, and the field that says so; None where there is no limit. Raises
        ``InvalidRequestError`` where two fields differ.
        """
        found = _agreed(
            [
                ("thinking_budget", self.thinking_budget),
                ("thinking_token_budget", self.thinking_token_budget),
                ("thinking_budget_tokens", self.thinking_budget_tokens),
                ("reasoning_budget", self.reasoning_budget),
                ("thinking.budget_tokens", self.thinking.budget_tokens if self.thinking is not None else None),
                ("reasoning.max_tokens", self.reasoning.max_tokens if self.reasoning is not None else None),
            ]
        )
        return None if found is None or found[1] < 0 else found

    def variables(self) -> dict[str, Any]:
        """Returns the variables of the template. What it calls ``enable_thinking`` has other names in requests. Raises
        ``InvalidRequestError`` where two fields differ.
        """
        given = self.chat_template_kwargs or {}
        switch = _agreed([*self._switches(), ("chat_template_kwargs.enable_thinking", given.get("enable_thinking"))])
        return given if switch is None else {**given, "enable_thinking": switch[1]}

    def check_reasoning(self) -> None:
        """Raises ``InvalidRequestError`` where two fields say different things."""
        self.effort()
        self.budget()
        self.variables()

    @property
    def shows_reasoning(self) -> bool:
        """Tells whether reasoning is part of the answer."""
        return self.include_reasoning is not False and not (self.reasoning and self.reasoning.exclude)

    def _switches(self) -> Iterator[tuple[str, bool | None]]:
        yield "enable_thinking", self.enable_thinking
        yield "think", self.think
        if self.reasoning is not None:
            yield "reasoning.enabled", self.reasoning.enabled
        if self.thinking is not None and self.thinking.type in ("enabled", "disabled"):
            yield "thinking.type", self.thinking.type == "enabled"


T = TypeVar("T")


def _agreed(given: Iterable[tuple[str, T | None]]) -> tuple[str, T] | None:
    """Returns the first of several names of one field that has a value. Raises ``InvalidRequestError`` where another one differs."""
    found = [(name, value) for name, value in given if value is not None]
    for name, value in found[1:]:
        if value != found[0][1]:
            message = f"{found[0][0]} ({found[0][1]}) and {name} ({value}) differ; give one of them"
            raise InvalidRequestError(message, param=name)
    return found[0] if found else None
