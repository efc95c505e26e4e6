"""The two places where an unmodified mlx-lm model meets the paged cache: its attention function, and its output projection."""

import importlib
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models import base

from mlxd.worker.runtime.paged.layer_cache import PagedLayerCache

_NAME = "scaled_dot_product_attention"


def install_attention(model: nn.Module) -> None:
    """Replace ``scaled_dot_product_attention`` in the modules the model is made of: a paged layer cache attends by itself,
    anything else goes to the original. Idempotent.
    """
    original = getattr(base, _NAME)

    def dispatch(queries: mx.array, keys: Any, values: Any, cache: Any = None, **options: Any) -> Any:
        if isinstance(cache, PagedLayerCache):
            return cache.attend(queries, options["scale"], options.get("mask"), options.get("sinks"))
        return original(queries, keys, values, cache=cache, **options)

    for name in {type(module).__module__ for module in model.modules()}:
        module = importlib.import_module(name)
        if getattr(module, _NAME, None) is original:
            setattr(module, _NAME, dispatch)


class RowSelection:
    """Makes the output projection run only on the rows that are sampled: a chunk of 512 tokens needs one row of logits."""

    def __init__(self) -> None:
        self.rows: mx.array | None = None  # of the present call; None: all

    def select(self, hidden: mx.array) -> Any:
        """``[T, 1, hidden]`` to the selected rows."""
        return hidden if self.rows is None else hidden[self.rows]


class _SelectedHead(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, inner: nn.Module, selection: RowSelection) -> None:
        super().__init__()
        self.inner = inner
        object.__setattr__(self, "_selection", selection)  # not a parameter

    def __call__(self, hidden: mx.array) -> Any:
        return self.inner(self._selection.select(hidden))


def install_row_selection(model: nn.Module) -> RowSelection | None:
    """Wrap ``lm_head``, or ``embed_tokens.as_linear`` where weights are tied. None where neither is found: all rows are computed."""
    selection = RowSelection()
    owners = [owner for owner in (model, getattr(model, "language_model", None)) if owner is not None]
    for owner in owners:
        if isinstance(owner.get("lm_head"), nn.Module):
            owner.lm_head = _SelectedHead(owner.lm_head, selection)
            return selection
    for owner in owners:
        embedding = getattr(getattr(owner, "model", None), "embed_tokens", None)
        if hasattr(embedding, "as_linear"):
            embedding.__class__ = _selecting(type(embedding), selection)
            return selection
    return None


def _selecting(kind: type, selection: RowSelection) -> type:
    """A subclass of an embedding's class whose ``as_linear`` selects rows first: modules take methods from their class only."""

    def as_linear(self: Any, hidden: mx.array) -> Any:
        return kind.as_linear(self, selection.select(hidden))  # type: ignore[attr-defined]

    return type(f"Selecting{kind.__name__}", (kind,), {"as_linear": as_linear})
