"""Blocks on their way from the cache to disk, and back."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from mlxd.disk_cache.tier import DiskTier, Spilled
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.transfers import Transfers
from mlxd.worker.kv.transfers import Fetch, Spill
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.block_payloads import BlockPayloads
from mlxd.worker.runtime.paged.model import PagedModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lane:
    """Where the blocks of one group of layers go, and how their bytes lie."""

    tier: DiskTier
    payloads: BlockPayloads


class DiskTransfers:
    """Copies what a plan says between a model's arenas and the host, each group of layers on its own lane. Keys and values of a draft model
    stay behind: it computes what it lacks when guesses are wanted.
    """

    def __init__(self, lanes: Sequence[Lane], model: PagedModel, draft: DraftModel | None) -> None:
        self._lanes = lanes
        self._model = model
        self._draft = draft

    def run(self, plan: StepPlan) -> Transfers | None:
        """Returns what was copied; None where nothing was to be. It waits for the device, so that nothing holds an arena's buffer when it
        is written next. Arenas are as large as the plan says then.
        """
        if not plan.spills and not plan.fetches:
            return None
        began = monotonic()
        spilled = sum(self._spill(group, [spill for spill in plan.spills if spill.group == group]) for group in range(len(self._lanes)))
        between = monotonic()
        self._model.keep(plan.arenas, plan.window_arenas)  # what was spilled may lie beyond that, and what is fetched beyond what there was
        fetched = sum(self._fetch(fetch) for fetch in plan.fetches)
        return Transfers(spilled, between - began, fetched, monotonic() - between)

    def _spill(self, group: int, spills: Sequence[Spill]) -> int:
        """Returns how many bytes were copied."""
        lane, model = self._lanes[group], self._model
        try:
            copies = lane.payloads.copy_out([spill.block for spill in spills], model.stores_of(group), model.geometries[group])
        except MemoryError as error:  # the host's: nothing is lost but a copy
            _log.warning("%d blocks are not written to disk: %s", len(spills), error)
            return 0
        found = [_spilled(spill, copy.data) for spill, copy in zip(spills, copies, strict=True) if copy is not None]
        lane.tier.write(found)
        return len(copies) * lane.payloads.block_bytes

    def _fetch(self, fetch: Fetch) -> int:
        """Returns how many bytes were copied."""
        if self._draft is not None and not fetch.group:
            self._draft.lack(fetch.blocks)
        payloads, model = self._lanes[fetch.group].payloads, self._model
        buffers = [payload[0] for payload in fetch.payloads]
        payloads.copy_in(fetch.blocks, buffers, model.stores_of(fetch.group), model.geometries[fetch.group])
        return len(fetch.blocks) * payloads.block_bytes


def _spilled(spill: Spill, payload: memoryview) -> Spilled:
    key = spill.key
    return Spilled(digest=spill.digest, parent=key.parent, tokens=key.tokens, extra=key.extra, payload=(payload,))
