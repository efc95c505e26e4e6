"""A request to encode: texts in tokens in, vectors or scores out."""

import itertools
import time
from dataclasses import dataclass, field

from typing_extensions import override

from mlxd.worker.engine.encoding.packed_inputs import PackedInputs
from mlxd.worker.engine.queued import QueuedRequest

_numbers = itertools.count()


@dataclass
class EncodingRequest(QueuedRequest):
    """The request is made when its texts are tokens. There is one at least, and none without tokens. ``dimensions`` are those to which its
    vectors are shortened.
    """

    id: str
    inputs: PackedInputs
    dimensions: int | None = None
    priority: int = 0
    holder: str = ""  # the name of the key by which it is asked
    arrived: float = field(default_factory=time.monotonic)
    number: int = field(default_factory=lambda: next(_numbers))
    aborted: bool = False

    @property
    @override
    def size(self) -> int:
        return max(self.inputs.lengths)

    @property
    def tokens(self) -> int:
        """Returns how many tokens all of its texts have together."""
        return self.inputs.tokens
