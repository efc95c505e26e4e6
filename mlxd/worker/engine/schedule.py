"""What a step is to do, while it is decided and until its result is there."""

from dataclasses import dataclass, field

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.transfers import Fetch


@dataclass
class Schedule:
    """The decisions of one step. ``planned`` sequences have chunks. ``out_of_room`` cannot go on, alone in a full pool; ``too_large``
    cannot even begin, and of those with ``nothing_to_do`` the cache has all that is wanted.
    """

    chunks: list[Chunk] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    fetches: tuple[Fetch, ...] = ()
    unseen: tuple[bytes, ...] = ()
    prefill_tokens: int = 0
    planned: set[str] = field(default_factory=set)
    started: list[Sequence] = field(default_factory=list)
    preempted: list[Sequence] = field(default_factory=list)
    out_of_room: list[Sequence] = field(default_factory=list)
    too_large: list[Sequence] = field(default_factory=list)
    nothing_to_do: list[Sequence] = field(default_factory=list)
    without_room: list[Sequence] = field(default_factory=list)  # that wait for it, by rank
    scored: int = 0  # targets of its chunks
    plan: StepPlan = field(default_factory=StepPlan)
    seconds: float = 0.0  # its chunks are expected to take
    encoding: float = 0.0  # seconds, and what it encodes
