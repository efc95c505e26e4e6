"""Rows whose logits are there, and whose constraints have not said yet what may come."""

from collections.abc import Callable, Mapping
from time import monotonic

from mlxd.worker.engine.mask_pool import NextMask, wait_for_all, wait_for_any
from mlxd.worker.runtime.sampling.draws import Undrawn

_FREE_SHARE = 0.1  # of a step, that rows without a constraint wait for others at most


class UndrawnRows:
    """The rows of past steps that are to be sampled once their masks are there. ``mask`` returns a sequence's, None once it is closed."""

    def __init__(self, mask: Callable[[str], NextMask | None]) -> None:
        self._mask = mask
        self._groups: list[Undrawn] = []

    def add(self, rows: Undrawn) -> None:
        """Adds the rows of one step."""
        self._groups.append(rows)

    def clear(self) -> None:
        self._groups.clear()

    @property
    def sequences(self) -> frozenset[str]:
        """Returns the sequences that are still there."""
        return frozenset(self._masks())

    def take(self, *, others: int, usual: float, until: float) -> list[Undrawn]:
        """Returns the rows whose masks are ready, and keeps the rest.

        It waits ``until`` the device is done, which costs nobody anything; then for as long as waiting costs the rows that could go on,
        of which there are ``others`` without a constraint, less than being left out costs those that are late: a step, which takes
        ``usual`` seconds. Where nothing could go on it waits for one row.
        """
        masks = self._masks()
        wait_for_all(masks.values(), until - monotonic())
        late = sum(not mask.is_ready for mask in masks.values())
        ready = len(masks) - late
        if late and ready + others:
            share = min(late / (ready + others), _FREE_SHARE if others else 1.0)
            wait_for_all(masks.values(), share * usual)
        elif late:
            wait_for_any(masks.values())
        return self._split(masks)

    def _masks(self) -> dict[str, NextMask]:
        found = {name: self._mask(name) for group in self._groups for name in {row.sequence for row in group.rows}}
        return {name: mask for name, mask in found.items() if mask is not None}

    def _split(self, masks: Mapping[str, NextMask]) -> list[Undrawn]:
        ready = {name for name, mask in masks.items() if mask.is_ready}
        late = masks.keys() - ready
        groups, self._groups = self._groups, []
        self._groups = [part for group in groups if (part := group.of(late)) is not None]
        return [part for group in groups if (part := group.of(ready)) is not None]
