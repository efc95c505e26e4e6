"""An adapter on the engine thread, from when somebody wants it until it has given back its memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from mlxd.errors import MlxdError
from mlxd.worker.facts.adapters.fit import FittedAdapter

Then = Callable[[MlxdError | None], None]  # told when it is loaded, or why it is not


class Stage(Enum):
    """How far it is."""

    WAITING = auto()  # for room, or its turn
    READING = auto()  # it has a slot, and its values are on their way
    WRITING = auto()
    LOADED = auto()


@dataclass(eq=False)
class Held:
    """An adapter, its ``slot``, 0 while it has none, and its ``users``: requests that run or wait with it. Where it is ``closed``, others
    wait for its room: those of its users that do not run yet wait, too, until it is loaded anew.
    """

    adapter: FittedAdapter
    stage: Stage = Stage.WAITING
    slot: int = 0
    users: set[str] = field(default_factory=set)
    used: int = 0  # when it was used last, in requests
    has_served: bool = False  # since it was loaded
    closed: bool = False
    is_known: bool = True  # somebody may ask for it still
    is_unloaded: bool = False  # an operator wants its memory back
    thens: list[Then] = field(default_factory=list)
    writing: Iterator[None] | None = None

    @property
    def is_leaving(self) -> bool:
        """Tells whether it goes once nobody has it."""
        return self.is_unloaded or not self.is_known

    def settle(self, error: MlxdError | None) -> None:
        """Tells whoever has asked what has become of it."""
        thens, self.thens = self.thens, []
        for then in thens:
            then(error)

    def wait(self) -> None:
        """Begins anew: it has no slot any more."""
        self.stage, self.slot, self.writing = Stage.WAITING, 0, None
        self.closed = self.has_served = self.is_unloaded = False
