"""The two places where an unmodified model of mlx-lm or mlx-vlm meets the paged cache: its attention function, and its output
projection.
"""

import functools
import itertools
import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx import nn

from mlxd.worker.runtime.paged.layer_cache import Written
from mlxd.worker.runtime.replace import replace_function

_NAME = "scaled_dot_product_attention"
_HEADS = ("lm_head", "output", "embed_out")  # what models call their output projection
_BASES = ("mlx_lm.models.base", "mlx_vlm.models.base")  # each has a function of its own; the second is there for models that see


def install_attention(model: nn.Module) -> None:
    """Replaces ``scaled_dot_product_attention`` in the modules the model is made of. It is idempotent, and harmless to other caches."""
    for base in _BASES:
        if base in sys.modules:
            original = getattr(sys.modules[base], _NAME)
            replace_function(model, _NAME, original, _dispatcher(original))


@functools.cache
def _dispatcher(original: Callable[..., Any]) -> Callable[..., Any]:
    """Returns what lets a paged layer cache attend by itself; anything else goes to the ``original``."""

    def dispatch(  # noqa: PLR0913, PLR0917 - its signature
        queries: mx.array, keys: Any, values: Any, cache: Any, scale: float, mask: Any, sinks: mx.array | None = None
    ) -> Any:
        if isinstance(keys, Written):
            return keys.cache.attend(queries, scale, mask, sinks)
        return original(queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks)

    return dispatch


class RowSelection:
    """Makes the output projection run only on the rows that are sampled: a chunk of 512 tokens needs one row of logits.

    It wraps the output projection, or ``embed_tokens.as_linear`` where weights are tied. Where neither is found, the logits of all rows
    come out.
    """

    def __init__(self, model: nn.Module) -> None:
        self.rows: mx.array | None = None  # of the present call; None: all
        self._undo: Callable[[], None] | None = self._wrap(model)

    def select(self, hidden: mx.array) -> mx.array:
        """Selects from ``[B, n, hidden]`` the rows ``[S, 1, hidden]``; where ``rows`` is None, everything as it is."""
        return hidden if self.rows is None else hidden.reshape(-1, 1, hidden.shape[-1])[self.rows]

    def remove(self) -> None:
        """Leaves the model as it was."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _wrap(self, model: nn.Module) -> Callable[[], None] | None:
        owners = [owner for owner in (model, getattr(model, "language_model", None)) if owner is not None]
        for owner, name in itertools.product(owners, _HEADS):
            head = owner.get(name)
            if isinstance(head, nn.Module):
                setattr(owner, name, SelectedHead(head, self))
                return lambda: setattr(owner, name, head)
        for owner in owners:
            embedding = getattr(getattr(owner, "model", None), "embed_tokens", None)
            if hasattr(embedding, "as_linear"):
                kind = type(embedding)
                embedding.__class__ = _selecting(kind, self)
                return lambda: setattr(embedding, "__class__", kind)
        return None


class SelectedHead(nn.Module):  # type: ignore[misc]  # mlx ships no types
    """An output projection that is given the selected rows alone."""

    def __init__(self, inner: nn.Module, selection: RowSelection) -> None:
        super().__init__()
        self.inner = inner
        object.__setattr__(self, "_selection", selection)  # not a parameter

    def __call__(self, hidden: mx.array) -> Any:
        return self.inner(self._selection.select(hidden))


def _selecting(kind: type, selection: RowSelection) -> type:
    """Returns a subclass of an embedding's class whose ``as_linear`` selects rows first: modules take methods from their class only."""

    def as_linear(self: Any, hidden: mx.array) -> Any:
        return kind.as_linear(self, selection.select(hidden))  # type: ignore[attr-defined]

    return type(f"Selecting{kind.__name__}", (kind,), {"as_linear": as_linear})
