"""What is fetched for a model: its own source, that of its draft model, and those of its adapters."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlxd.config.schema import ModelTable


@dataclass(frozen=True)
class ModelSource:
    """A source, and the ``field`` of a model's table that names it."""

    field: str
    source: str


def model_sources(model: ModelTable) -> Iterator[ModelSource]:
    """Yields the sources of all that is loaded for a model."""
    yield ModelSource("source", model.source)
    if (draft := used_draft(model)) is not None:
        yield ModelSource("speculation.draft", draft)


def adapter_sources(model: ModelTable) -> Iterator[ModelSource]:
    """Yields the sources of a model's adapters."""
    yield from (ModelSource(f"adapters.{name}.source", table.source) for name, table in model.adapters.items())


def used_draft(model: ModelTable) -> str | None:
    """Returns the source of a model's draft model; None where there is none, or one that all models inherit and this one has no use for:
    guesses are verified over a paged cache only, and its own guesses would take a model as long as its tokens.
    """
    is_paged = not model.encodes and model.batching.mode == "continuous" and model.cache.kind in {"auto", "paged"}
    draft = model.speculation.draft
    return draft if is_paged and draft != model.source else None
