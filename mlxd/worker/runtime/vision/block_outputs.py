"""The outputs of a vision tower's blocks, which are where its lazy graph can be evaluated bit by bit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx import nn


class BlockOutputs:
    """Remembers what ``blocks`` return, in order, while somebody records."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._recorded: list[mx.array] | None = None
        kinds = {type(block): _remembering(type(block), self) for block in blocks}
        for block in blocks:
            block.__class__ = kinds[type(block)]

    @contextmanager
    def recording(self) -> Iterator[list[mx.array]]:
        """Fills a list with what the blocks return within."""
        recorded: list[mx.array] = []
        self._recorded = recorded
        try:
            yield recorded
        finally:
            self._recorded = None

    def take(self, output: mx.array) -> None:
        """Takes in what a block has returned."""
        if self._recorded is not None:
            self._recorded.append(output)


def _remembering(kind: type, outputs: BlockOutputs) -> type:
    """Returns a subclass of a block's class: modules take methods from their class only."""

    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        output = kind.__call__(self, *arguments, **options)
        outputs.take(output)
        return output

    return type(f"Remembering{kind.__name__}", (kind,), {"__call__": call})
