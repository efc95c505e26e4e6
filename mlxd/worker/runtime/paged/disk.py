"""The way from a model over a paged cache to its blocks on disk, if they can be kept there."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from mlxd.disk_cache.tier import DiskTier
from mlxd.disk_terms import DiskSettings
from mlxd.worker.engine.fetching import DiskFetching, Fetching
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.disk_side import DiskSide, NoDisk
from mlxd.worker.kv.group_tier import GroupTier
from mlxd.worker.kv.manager import Manager
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.block_payloads import BlockPayloads
from mlxd.worker.runtime.paged.disk_transfers import DiskTransfers, Lane
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.model import PagedModel

OpenTier = Callable[[Sequence[str]], DiskTier]

_log = logging.getLogger(__name__)

_LAYOUT = "1"  # of payloads, and of what stands in them


@dataclass(frozen=True)
class Disk:
    """Blocks on disk as the manager of blocks sees them, and as the executor does; both are None where there is none, as ``told`` says."""

    told: DiskSide | NoDisk = field(default_factory=NoDisk)
    side: DiskSide | None = None
    transfers: DiskTransfers | None = None

    def fetching(self, manager: Manager, budget: StepBudget) -> Fetching:
        """Returns what decides about it."""
        return Fetching() if self.side is None else DiskFetching(manager, self.side, budget)


def open_disk(
    model: PagedModel, settings: DiskSettings | None, open_tier: OpenTier | None, draft: DraftModel | None, windows: Sequence[int] = ()
) -> Disk:
    """Returns the disk behind the cache of ``model``, or why there is none. Its arenas still hold what it was proved by: payloads are laid
    out like that. Layers that see one of ``windows`` are going to have blocks of their own. ``open_tier`` is told what payloads depend on
    beside the model's files.
    """
    if open_tier is None:
        return Disk()
    is_wanted, groups = settings is not None, _groups(model, windows)
    reason = _refusal(model, groups)
    if reason is not None:
        if is_wanted:
            _log.warning("blocks of this model are not kept on disk: %s", reason)
        return Disk(NoDisk(reason, is_wanted=is_wanted))
    payloads = [BlockPayloads(stores, model.geometry) for stores in groups]
    layout = "; ".join(one.layout for one in payloads)
    tier = open_tier((_LAYOUT, layout, str(model.geometry.block_size), model.kv_type, version("mlx"), version("mlx-lm")))
    lanes = [Lane(GroupTier(tier, group) if group else tier, one) for group, one in enumerate(payloads)]
    beside = [DiskSide(one.tier, one.payloads.block_bytes, is_wanted=is_wanted, group=at) for at, one in enumerate(lanes) if at]
    side = DiskSide(tier, payloads[0].block_bytes, is_wanted=is_wanted, beside=beside)
    return Disk(side, side, DiskTransfers(lanes, model, draft))


def _groups(model: PagedModel, windows: Sequence[int]) -> list[list[KeyValueStore]]:
    """Returns the stores of each group of layers: first of those that see everything."""
    everything = [layer.store for layer in model.layers if layer.window not in windows]
    return [everything, *([layer.store for layer in model.layers if layer.window == window] for window in windows)]


def _refusal(model: PagedModel, groups: Sequence[Sequence[KeyValueStore]]) -> str | None:
    """Returns why blocks of this model cannot be kept on disk; None where they can."""
    if model.states.exist:
        return "its layers keep a recurrent state, which blocks on disk do not have"
    if not groups[0]:
        return "all of its layers see a window"
    if not BlockPayloads.are_told_by(model.stores, model.geometry):
        return "some of its layers have no keys and values of their own"
    return None
