"""Blocks on their way from the cache to disk, and back."""

import logging
from collections.abc import Sequence
from time import monotonic

from mlxd.disk_cache.tier import DiskTier, Spilled
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.transfers import Transfers
from mlxd.worker.kv.transfers import Fetch, Spill
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.block_payloads import BlockPayloads
from mlxd.worker.runtime.paged.model import PagedModel

_log = logging.getLogger(__name__)


class DiskTransfers:
    """Copies what a plan says between a model's arenas and the host. What it takes out goes to ``tier``. Keys and values of a draft model
    stay behind: it computes what it lacks when guesses are wanted.
    """

    def __init__(self, tier: DiskTier, payloads: BlockPayloads, model: PagedModel, draft: DraftModel | None) -> None:
        self._tier = tier
        self._payloads = payloads
        self._model = model
        self._draft = draft

    def run(self, plan: StepPlan) -> Transfers | None:
        """Returns what was copied; None where nothing was to be. It waits for the device, so that nothing holds an arena's buffer when it
        is written next.
        """
        if not plan.spills and not plan.fetches:
            return None
        began = monotonic()
        spilled = self._spill(plan.spills)
        between = monotonic()
        fetched = sum(self._fetch(fetch) for fetch in plan.fetches)
        return Transfers(spilled, between - began, fetched, monotonic() - between)

    def _spill(self, spills: Sequence[Spill]) -> int:
        """Returns how many bytes were copied."""
        model = self._model
        try:
            copies = self._payloads.copy_out([spill.block for spill in spills], model.stores, model.geometry)
        except MemoryError as error:  # the host's: nothing is lost but a copy
            _log.warning("%d blocks are not written to disk: %s", len(spills), error)
            return 0
        found = [_spilled(spill, copy.data) for spill, copy in zip(spills, copies, strict=True) if copy is not None]
        self._tier.write(found)
        return len(copies) * self._payloads.block_bytes

    def _fetch(self, fetch: Fetch) -> int:
        """Returns how many bytes were copied."""
        if self._draft is not None:
            self._draft.lack(fetch.blocks)
        self._payloads.copy_in(fetch.blocks, [payload[0] for payload in fetch.payloads], self._model.stores, self._model.geometry)
        return len(fetch.blocks) * self._payloads.block_bytes


def _spilled(spill: Spill, payload: memoryview) -> Spilled:
    key = spill.key
    return Spilled(digest=spill.digest, parent=key.parent, tokens=key.tokens, extra=key.extra, payload=(payload,))
