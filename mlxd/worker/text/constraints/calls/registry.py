"""Which form a model's calls have."""

from mlxd.types import ToolShape
from mlxd.worker.text.constraints.calls import json_forms, tagged_forms
from mlxd.worker.text.constraints.calls.call_form import CallForm
from mlxd.worker.text.constraints.calls.listed_forms import gemma, pythonic
from mlxd.worker.text.constraints.vocabulary import Vocabulary
from mlxd.worker.text.parsers import dsml


def call_form(shape: ToolShape, vocabulary: Vocabulary) -> CallForm | None:
    """Returns the form of a shape, as a vocabulary's markers tell it; None where a model calls no tools."""
    match shape:
        case ToolShape.PYTHONIC:
            return pythonic(vocabulary)
        case ToolShape.GEMMA:
            return gemma(vocabulary)
        case ToolShape.MISTRAL:
            return json_forms.MISTRAL if vocabulary.token("[ARGS]") is not None else json_forms.MISTRAL_ARRAY
        case ToolShape.DEEPSEEK:
            return tagged_forms.DSML if vocabulary.knows(dsml.MARK) else json_forms.DEEPSEEK
        case ToolShape.JSON:
            return json_forms.MARKED_ARRAY if vocabulary.token("<|tool_call|>") is not None else json_forms.BARE
        case _:
            return _FORMS.get(shape)


_FORMS: dict[ToolShape, CallForm] = {
    ToolShape.HERMES: json_forms.HERMES,
    ToolShape.LONGCAT: json_forms.LONGCAT,
    ToolShape.KIMI: json_forms.KIMI,
    ToolShape.COHERE: json_forms.COHERE,
    ToolShape.HARMONY: json_forms.HARMONY,
    ToolShape.QWEN_XML: tagged_forms.QWEN_XML,
    ToolShape.GLM: tagged_forms.GLM,
    ToolShape.MINIMAX: tagged_forms.MINIMAX,
}
