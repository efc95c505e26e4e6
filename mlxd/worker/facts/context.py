"""How many tokens of prompt and answer a model was made for, and who says so."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlxd.errors import ConfigError
from mlxd.worker.facts.json_document import JsonDocument, shown
from mlxd.worker.facts.sources import Sources

ASSUMED = 4096  # tokens, where nothing says more

# Every name that configurations give to the longest context. A sliding window is none: it bounds what a layer looks back to.
_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_seq_length",
    "max_sequence_length",
    "seq_length",
    "seq_len",
    "model_max_length",
    "max_context_length",
)
_TABLES = {"n_positions"}  # positions are rows of a table: there is none beyond the last
_NO_LIMIT = 2**31  # tokenizers without a limit write 1e30

_STRETCHED = ("yarn", "deepseek_yarn", "telechat3-yarn", "linear", "dynamic")
_ALREADY_STRETCHED = ("gemma3",)  # whose max_position_embeddings counts the stretching


@dataclass(frozen=True)
class Context:
    """The longest context of a model, whose ``length`` is in tokens. One that is ``fixed`` cannot be exceeded, whatever anybody wishes;
    ``warning`` says what is doubtful about it.
    """

    length: int
    origin: str
    fixed: bool = False
    warning: str | None = None
    assumed: bool = False  # nobody said so

    def wished(self, wish: int | None) -> "Context":
        """Returns the context under ``context_length`` of the configuration: a larger one than the model's is obeyed, with a warning.

        Raises ``ConfigError`` where the model cannot go further.
        """
        if wish is None or wish == self.length:
            return self
        wished = Context(wish, "context_length in the configuration", self.fixed)
        if wish < self.length or self.assumed:
            return wished
        if self.fixed:
            raise ConfigError([f"context_length = {wish} is more than the {self.length} positions the model has ({self.origin})"])
        return replace(
            wished,
            warning=f"context_length = {wish} is more than the {self.length} tokens the model was made for ({self.origin}): "
            "answers may be nonsense beyond that",
        )


def find_context(sources: Sources) -> Context:
    """Returns the smallest figure of the most particular part of ``config.json`` that has any, stretched as its rotary positions are;
    without one, the tokenizer's. Raises ``ModelSourceError`` that names a figure which is none.
    """
    for part in sources.configurations():
        figures = dict(_figures(part))
        if figures:
            model_type = str(part.get("model_type") or sources.config.get("model_type"))
            context = _smallest(part, figures)
            return context if model_type.startswith(_ALREADY_STRETCHED) else _stretched(part, context)
    for key, figure in _figures(sources.tokenizer):
        return Context(figure, sources.tokenizer.origin(key))
    return Context(
        ASSUMED,
        "assumed",
        warning=f"no file of the model says how long its context is{_beyond_reason(sources)}: "
        f"{ASSUMED} tokens are assumed; set context_length",
        assumed=True,
    )


def _figures(part: JsonDocument) -> Iterator[tuple[str, int]]:
    for key in _KEYS:
        value = part.get(key)
        if isinstance(value, float) and value >= _NO_LIMIT:
            continue
        figure = part.count(key)
        if figure is not None and figure < _NO_LIMIT:
            yield key, figure


def _beyond_reason(sources: Sources) -> str:
    """The figures of ``config.json`` that are too large to be meant."""
    named = [(part, key) for part in sources.configurations() for key in _KEYS if part.get(key) is not None]
    said = [f"{part.origin(key)} is {shown(part.get(key))}" for part, key in named]
    return f" ({', '.join(said)})" if said else ""


def _smallest(part: JsonDocument, figures: dict[str, int]) -> Context:
    key = min(figures, key=lambda key: figures[key])
    warning = None
    if len(set(figures.values())) > 1:
        said = ", ".join(f"{figure} ({part.origin(name)})" for name, figure in figures.items())
        warning = f"the model's files name more than one length of its context: {said}; the smallest counts; context_length may raise it"
    return Context(figures[key], part.origin(key), not _TABLES.isdisjoint(figures), warning)


def _stretched(part: JsonDocument, context: Context) -> Context:
    """Stretches a context: YaRN the original length by its factor, the linear and the dynamic form the length that is named."""
    key, scaling = _scaling(part)
    if scaling is None:
        return context
    kind = scaling.get("rope_type") or scaling.get("type")
    original = _number(scaling, "original_max_position_embeddings") or context.length
    length = int(original * (_number(scaling, "factor") or 1))
    if kind not in _STRETCHED or not context.length < length < _NO_LIMIT:
        return context
    return replace(context, length=length, origin=f"{context.origin}, stretched by {part.origin(key)}")


def _scaling(part: JsonDocument) -> tuple[str, dict[str, Any] | None]:
    for key in ("rope_scaling", "rope_parameters"):
        if isinstance(scaling := part.get(key), dict):
            full = scaling.get("full_attention")
            return key, full if isinstance(full, dict) else scaling
    return "", None


def _number(scaling: dict[str, Any], key: str) -> float | None:
    value = scaling.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _NO_LIMIT else None
