"""A batch of texts of about the same length, for one step."""

from dataclasses import dataclass

from mlxd.worker.engine.encoding.pending import Pending
from mlxd.worker.engine.encoding.shape import BatchCost, BatchShape
from mlxd.worker.engine.encoding.text import Text
from mlxd.worker.engine.encoding.workspace import Workspace

WASTE = 0.1  # of a batch's own tokens, that may be computed only to fill it up


@dataclass(frozen=True)
class BatchLimits:
    """What a batch may be: it takes no more ``seconds`` and no more ``tokens``, those that fill it up included, and fits into a ``share``
    of the workspace. Its first text is taken whatever it is.
    """

    seconds: float
    tokens: int
    workspace: Workspace
    share: float = 1.0

    def allow(self, shape: BatchShape, cost: BatchCost) -> bool:
        """Tells whether a batch of this shape is within them."""
        return shape.padded <= self.tokens and self.workspace.holds(shape, self.share) and cost.seconds(shape) <= self.seconds


class Batch:
    """A batch that is being put together. What fills it up is no more than a tenth of it, or than could be computed in the time that a call
    of its own takes: then the text waits for others of its length.
    """

    def __init__(self, limits: BatchLimits, cost: BatchCost) -> None:
        self.texts: list[Text] = []
        self.tokens = 0
        self._limits = limits
        self._cost = cost
        self._longest: int | None = None

    @property
    def shape(self) -> BatchShape:
        """Returns its shape; it has a text at least."""
        return BatchShape(len(self.texts), self._longest or 0)

    def fill(self, pending: Pending) -> None:
        """Takes as many texts of a request as fit, the longest ones first; the first text of all says how long they may be."""
        while (length := pending.longest(self._longest)) is not None and self._has_room(length):
            self.texts.append(pending.take(self._longest))
            self.tokens += length
            self._longest = self._longest or length

    def _has_room(self, length: int) -> bool:
        if self._longest is None:
            return True
        shape = BatchShape(len(self.texts) + 1, self._longest)
        tokens = self.tokens + length
        wasted = shape.padded - tokens
        return wasted <= max(WASTE * tokens, self._cost.call_in_tokens) and self._limits.allow(shape, self._cost)
