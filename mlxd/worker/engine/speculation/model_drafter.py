"""Guesses by a draft model, which the executor makes within the step that verifies them."""

from collections.abc import Collection, Mapping

from typing_extensions import override

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.draft_calls import DraftCalls
from mlxd.worker.engine.speculation.drafter import Drafter, Offer


class ModelDrafter(Drafter):
    """A drafter that always has something to offer, and says what in the step itself. A call of its model is thought to take ``share`` of a
    step before any was seen.
    """

    def __init__(self, share: float) -> None:
        self.calls = DraftCalls(share)

    @override
    def offers(self, sequences: Collection[Sequence], most: int) -> Mapping[str, Offer]:
        offer = Offer(("model",) * min(most, self.calls.most))
        return dict.fromkeys((sequence.id for sequence in sequences), offer)

    @override
    def close(self, sequence: str) -> None:
        """Does nothing: there is nothing to forget."""
