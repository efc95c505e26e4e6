"""How a model calls its layers, seen without computing anything: of a call whose results nobody asks for, MLX builds the graph alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from mlxd.worker.runtime.adapters.adapted_layers import EXPERTS
from mlxd.worker.runtime.library_errors import in_a_line

_ROWS = 3  # of one token each, as a step has them
_KIND, _SEEN = "_observed_kind", "_observed_shapes"

Shape = tuple[int, ...]


def refusals(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """Returns of which ``layers``, by their paths, it is not known which rows they are given when the model is called, and why: one that is
    not called at all, for the model computes with its weights itself, or one that is given something else than the rows.
    """
    try:
        with _observed(layers) as seen:
            model(mx.zeros((_ROWS, 1), mx.int32), cache=make_prompt_cache(model))
    except Exception as error:  # noqa: BLE001 - whatever a model raises
        return dict.fromkeys(layers, f"of a model that cannot be called with several rows ({in_a_line(error)})")
    return {path: why for path, layer in layers.items() if (why := _refusal(seen[path], layer))}


def _refusal(shapes: list[Shape], layer: nn.Module) -> str:
    if not shapes:
        return "with whose weights the model computes without calling it"
    is_right = isinstance(layer, EXPERTS) or all(map(_has_rows, shapes))  # which rows experts are given is told by who gives them
    return "" if is_right else "which is given something else than rows of tokens"


def _has_rows(shape: Shape) -> bool:
    """Tells whether what a layer is given has an entry for each row, or several, those of a row side by side."""
    entries = 1
    for size in shape[:-1]:
        entries *= size
    return entries == _ROWS or (shape[0] == _ROWS and len(shape) > 1)


@contextmanager
def _observed(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Shape]]]:
    """Notes the shapes that layers are given within."""
    seen: dict[str, list[Shape]] = {path: [] for path in layers}
    for path, layer in layers.items():
        kind: type = type(layer)
        layer.__class__ = _observing(kind)
        for name, value in ((_KIND, kind), (_SEEN, _Seen(seen[path]))):
            object.__setattr__(layer, name, value)
    try:
        yield seen
    finally:
        for layer in layers.values():
            layer.__class__ = getattr(layer, _KIND)
            for name in (_KIND, _SEEN):
                layer.__dict__.pop(name)


class _Seen:
    """Keeps a list from being taken for a part of the module."""

    def __init__(self, shapes: list[Shape]) -> None:
        self.shapes = shapes


@cache
def _observing(kind: type) -> type:
    def call(self: Any, x: mx.array, *others: Any, **more: Any) -> mx.array:
        self._observed_shapes.shapes.append(tuple(x.shape))
        y: mx.array = kind.__call__(self, x, *others, **more)
        return y

    return type(f"Observed{kind.__name__}", (kind,), {"__call__": call})
