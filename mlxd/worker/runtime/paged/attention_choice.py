"""The ways to attend that a model uses: each is proved on this device first, then the fastest is chosen for each region by its clock.

What is right is rows: the probe has shown that. Another way has to give what rows gives in a layer of each of the model's shapes, and then
the logits of the plain model. One that does not is refused, and the model serves without it.
"""

import logging
import time
from collections.abc import Iterable
from itertools import groupby

import mlx.core as mx

from mlxd.errors import MlxdError
from mlxd.types import AttentionState, AttentionWay, AttentionWish
from mlxd.wire.attention_facts import AttentionFacts, AttentionWayFacts
from mlxd.worker.runtime.library_errors import in_a_line
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.attention.kernel.language import compiling
from mlxd.worker.runtime.paged.attention.regions import Region, Regions
from mlxd.worker.runtime.paged.attention.timing import most_copied, timed
from mlxd.worker.runtime.paged.attention.trial import Trial
from mlxd.worker.runtime.paged.build import ProvedModel
from mlxd.worker.runtime.paged.probe import probe
from mlxd.worker.runtime.proof import ROUNDING

_log = logging.getLogger(__name__)


def choose_attention(
    loaded: LoadedModel, proved: ProvedModel, wish: AttentionWish, sequences: int, name: str = "the model"
) -> AttentionFacts:
    """Returns what became of each way, and leaves the model, that is to serve up to so many ``sequences`` at once, with those
    that it uses. Its arenas are to be resized. The log calls it by ``name``: a worker may have two.
    """
    began = time.monotonic()
    facts = _Choice(loaded, proved, wish, sequences).facts()
    for one in facts.ways:
        log = _log.warning if one.state is AttentionState.REFUSED else _log.info
        log("%s: attention by %s is %s: %s", name, one.way, one.state, one.reason)
    _log.info("%s: ways to attend were proved and timed in %.2f s", name, time.monotonic() - began)
    return facts


class _RefusedError(MlxdError):
    """A way to attend is wrong, or does not run; the message says how it showed."""

    code = "attention_refused"


class _Choice:
    def __init__(self, loaded: LoadedModel, proved: ProvedModel, wish: AttentionWish, sequences: int) -> None:
        self._loaded = loaded
        self._model = model = proved.model
        self._proof = proved.proof
        self._ways = model.ways
        self._wish = wish
        self._sequences = sequences
        self._found: dict[AttentionWay, AttentionWayFacts] = {}
        size, device = model.geometry.block_size, loaded.device
        self._trials = [Trial(shape, size, device) for shape, _ in self._ways.shapes.most_common()]

    def facts(self) -> AttentionFacts:
        others: list[AttentionWay] = [way for way in AttentionWay if way is not AttentionWay.ROWS]
        right = [way for way in others if self._is_asked(way) and self._is_right(way)]
        regions = self._fastest(right) if self._wish == "auto" else self._forced(right)
        used = {way for way in {regions.usual, *regions.chosen.values()} - {AttentionWay.ROWS} if self._is_proved(way, regions)}
        self._ways.regions = regions.without({*others} - used)
        self._tell_of_rows(used)
        return AttentionFacts(self._wish, [self._found[way] for way in AttentionWay])

    # ---- is it right? ----

    def _is_asked(self, way: AttentionWay) -> bool:
        if self._wish not in {"auto", way}:
            self._tell(way, AttentionState.UNASKED, f'batching.attention = "{self._wish}"')
        elif not self._trials:
            self._tell(way, AttentionState.UNASKED, self._model.manner.told or "no layer of the model has keys and values")
        elif way in self._ways.missing:
            self._tell(way, AttentionState.UNAVAILABLE, self._ways.missing[way])
        else:
            return True
        return False

    def _is_right(self, way: AttentionWay) -> bool:
        """Tells whether a way gives what rows gives in each kind of layer."""
        try:
            for trial in self._trials:
                self._check(trial, way)
        except Exception as error:  # noqa: BLE001 - whatever a device says
            self._refuse(way, error)
        return way not in self._found

    def _check(self, trial: Trial, way: AttentionWay) -> None:
        with compiling():
            found = trial.difference(self._ways.ways[way], self._ways.ways[AttentionWay.ROWS])
        if found > ROUNDING.get(str(trial.shape.dtype).removeprefix("mlx.core."), 0.0):
            raise _RefusedError(f"what it gives differs from rows by {found:.2g} standard deviations")

    def _is_proved(self, way: AttentionWay, regions: Regions) -> bool:
        """Tells whether the model's logits are right where all rows attend this way."""
        self._ways.regions = Regions(usual=way, most_copied=regions.most_copied)
        try:
            if not self._proof.holds(self._model):
                # Other tokens decide: rounding may have sent one to another expert.
                self._proof = probe(self._loaded, self._model, self._proof.reference)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse(way, error)
        return self._found[way].state is AttentionState.USED

    # ---- is it fast? ----

    def _forced(self, right: list[AttentionWay]) -> Regions:
        for way in right:
            self._tell(way, AttentionState.USED, f'batching.attention = "{way}", and its logits were proved')
            return Regions(usual=way, most_copied=most_copied(self._trials[0].shape))
        return Regions()

    def _fastest(self, right: list[AttentionWay]) -> Regions:
        if not right:
            return Regions()
        trial, ways = self._trials[0], self._ways.ways
        timing = timed(trial, ways[AttentionWay.ROWS], {way: ways[way] for way in right}, self._sequences)
        regions = timing.regions(most_copied(trial.shape))
        for way in right:
            if way not in timing.gains:
                self._tell(way, AttentionState.SLOWER, f"with {self._sequences} sequences at most there is next to nothing to gain")
                continue
            region, gain = timing.best(way)
            mine = sorted(region for region, chosen in regions.chosen.items() if chosen is way)
            most = f"{gain:.2f} times as fast as rows with {region.rows} rows of {region.tokens} tokens"
            if mine:
                self._tell(way, AttentionState.USED, f"{_told(mine)}; at most {most}")
            else:
                self._tell(way, AttentionState.SLOWER, f"at most {most}")
        mx.clear_cache()
        return regions

    # ---- what became of it ----

    def _tell_of_rows(self, used: set[AttentionWay]) -> None:
        if self._wish == "rows":
            reason = 'batching.attention = "rows"'
        elif self._wish != "auto":
            reason = "for prompts, and where copies would be too large" if used else f"{self._wish} cannot be used"
        else:
            reason = "everywhere else" if used else "nothing else is clearly faster here"
        self._tell(AttentionWay.ROWS, AttentionState.USED, reason)

    def _refuse(self, way: AttentionWay, error: Exception) -> None:
        self._tell(way, AttentionState.REFUSED, error.message if isinstance(error, MlxdError) else in_a_line(error))

    def _tell(self, way: AttentionWay, state: AttentionState, reason: str) -> None:
        self._found[way] = AttentionWayFacts(way, state, reason)


def _told(regions: Iterable[Region]) -> str:
    """Names regions for people: "8, 16 and 32 rows of about 128 tokens, 32 of 512"."""
    by_tokens = groupby(sorted(regions, key=lambda region: (region.tokens, region.rows)), key=lambda region: region.tokens)
    return ", ".join(f"{_listed([region.rows for region in mine])} rows of about {tokens} tokens" for tokens, mine in by_tokens)


def _listed(numbers: list[int]) -> str:
    return " and ".join(filter(None, [", ".join(map(str, numbers[:-1])), str(numbers[-1])]))
