"""The fields that say how much a model thinks, and what its answer must be: ``thinking`` and ``output_config``."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mlxd.api.anthropic.leniency import OUTPUT_CONFIG, THINKING
from mlxd.api.fields.effort import Effort
from mlxd.api.fields.free_json import portable
from mlxd.api.fields.generation import AskedConstraint
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.errors import InvalidRequestError
from mlxd.listener.json_text import json_type
from mlxd.wire.output_spec import JsonSchema

OFF = "none"
_SWITCHES = ("enable_thinking", "thinking")  # names that templates have for it


class Thinking(Strict):
    """Whether to think, and how many tokens at most. ``adaptive`` and ``between_tools`` leave it to the model."""

    tolerated: ClassVar[Rules] = THINKING

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Whole, Field(ge=0, le=INT32)] | None = None
    display: Literal["summarized", "updates", "omitted"] | None = None


def _schema(value: object) -> object:
    if not isinstance(value, dict | bool):
        raise problem(f"must be a JSON schema, which is an object, not {json_type(value)}")
    return portable(value)


class Format(Strict):
    """What all of the answer's text must be."""

    type: Literal["json_schema"]
    schema_: Annotated[Any, BeforeValidator(_schema)] = Field(alias="schema")
    name: str | None = None


class OutputConfig(Strict):
    """How much work an answer is worth, and what form it has."""

    tolerated: ClassVar[Rules] = OUTPUT_CONFIG

    effort: Effort | None = None
    format: Format | None = None


class AnswerFields(Strict):
    """The fields about thinking and form. ``output_format`` is what a beta called ``output_config.format``."""

    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None

    @property
    def shows_thinking(self) -> bool:
        """Tells whether what was thought is in the answer, and not only that something was."""
        return self.thinking is None or self.thinking.display != "omitted"

    def effort(self) -> str | None:
        """Returns how much is to be thought: nothing, where no thinking is asked for, as in this API."""
        if self.thinking is None or self.thinking.type == "disabled":
            return OFF
        return None if self.output_config is None else self.output_config.effort

    def budget(self) -> tuple[str, int] | None:
        """Returns how many tokens of reasoning there may be, and the field that says so."""
        if self.thinking is None or self.thinking.type != "enabled" or self.thinking.budget_tokens is None:
            return None
        return "thinking.budget_tokens", self.thinking.budget_tokens

    def variables(self) -> dict[str, Any]:
        """Returns variables for the chat template."""
        is_asked_for = self.thinking is not None and self.thinking.type == "enabled"
        return dict.fromkeys(_SWITCHES, True) if is_asked_for else {}

    def constraint(self) -> AskedConstraint | None:
        """Returns what all of the answer's text must be. Raises ``InvalidRequestError`` where two fields say so."""
        inner = self.output_config.format if self.output_config is not None else None
        if inner is not None and self.output_format is not None:
            message = "output_config.format and output_format both say what the answer must be; give one of them"
            raise InvalidRequestError(message, param="output_format")
        if inner is not None:
            return _asked("output_config.format.schema", inner)
        return None if self.output_format is None else _asked("output_format.schema", self.output_format)


def _asked(field: str, form: Format) -> AskedConstraint:
    return AskedConstraint(field, JsonSchema(field=field, schema=form.schema_))
