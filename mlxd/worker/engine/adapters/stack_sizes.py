"""What adapters take in the stacks of a model's layers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlxd.worker.facts.adapters.fit import PlacedLayer

_MOST_KNOWN = 512  # adapters

Numbers = npt.NDArray[np.int64]


def stacked_bytes(adapters: Collection[Sequence[PlacedLayer]], item_bytes: int) -> int:
    """Returns the bytes that adapters take together, as ``StackSizes`` reckons."""
    return StackSizes(item_bytes).together(adapters)


@dataclass(frozen=True)
class _Layers:
    """The layers of one adapter, as columns of all that are known; ``layers`` are kept, so that no others are taken for them."""

    layers: Sequence[PlacedLayer]
    columns: npt.NDArray[np.intp]
    ranks: Numbers
    gains: Numbers  # numbers of one place that DoRA has beside A and B


@dataclass
class StackSizes:
    """The bytes of sets of adapters. An adapter's own figures are looked at once: there may be hundreds beside each other, and the engine's
    thread asks again for each that goes.
    """

    item_bytes: int
    _columns: dict[str, int] = field(default_factory=dict)
    _widths: list[int] = field(default_factory=list)  # inputs and outputs
    _experts: list[int] = field(default_factory=list)
    _known: dict[int, _Layers] = field(default_factory=dict)

    def together(self, adapters: Collection[Sequence[PlacedLayer]]) -> int:
        """Returns the bytes that adapters take together. In each layer that any of them changes their ranks are padded to the largest; a
        linear one has a place more, which adds nothing, and with DoRA among them a gain for each output.
        """
        found = [self._of(adapter) for adapter in adapters]
        ranks, gains, counts = (np.zeros(len(self._columns), np.int64) for _ in range(3))
        for one in found:
            ranks[one.columns] = np.maximum(ranks[one.columns], one.ranks)
            gains[one.columns] = np.maximum(gains[one.columns], one.gains)
            counts[one.columns] += 1
        experts = np.array(self._experts, np.int64)
        places = np.where(experts > 0, counts * experts, counts + (counts > 0))
        return self.item_bytes * int((places * (ranks * np.array(self._widths, np.int64) + gains)).sum())

    def _of(self, adapter: Sequence[PlacedLayer]) -> _Layers:
        known = self._known.get(id(adapter))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[id(adapter)] = self._looked_at(adapter)
        return known

    def _looked_at(self, adapter: Sequence[PlacedLayer]) -> _Layers:
        layers = [placed.layer for placed in adapter]
        return _Layers(
            adapter,
            np.array([self._column(placed) for placed in adapter], np.intp),
            np.array([layer.rank for layer in layers], np.int64),
            np.array([0 if layer.magnitude is None else layer.outputs for layer in layers], np.int64),
        )

    def _column(self, placed: PlacedLayer) -> int:
        column = self._columns.setdefault(placed.path, len(self._columns))
        if column == len(self._widths):
            self._widths.append(placed.layer.inputs + placed.layer.outputs)
            self._experts.append(placed.layer.experts)
        return column
