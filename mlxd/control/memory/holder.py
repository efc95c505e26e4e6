"""``Holder``: a model, as those see it who share memory out."""

from collections.abc import Collection, Mapping
from typing import Protocol

from mlxd.control.memory.exchange import Tenure
from mlxd.control.memory.governor import Resident


class Holder(Protocol):
    """A model that may hold memory, and may give way."""

    @property
    def name(self) -> str:
        """Returns the model's id."""

    @property
    def tenure(self) -> Tenure | None:
        """Returns how the model has its place; None where it has none, or leaves it."""

    @property
    def leaving(self) -> Collection[str]:
        """Returns the model's holders in the ledger whose memory will be free without anybody's doing."""

    @property
    def resident(self) -> Resident | None:
        """Returns what there is to know of the model where it has a worker, else None."""

    @property
    def held_bytes(self) -> Mapping[str, int]:
        """Returns what each of the model's holders in the ledger really has, as far as is known."""

    @property
    def requests_waiting(self) -> int:
        """Returns how many requests wait until the model serves them: while it loads, or for its turn."""

    def unload(self) -> None:
        """Makes the model give way."""

    def terms_changed(self) -> None:
        """Hears that its workers are held to something else, or that its turn is nearer or over."""

    def memory_freed(self, free: int) -> None:
        """Hears that ``free`` bytes can be reserved now; whoever waits for that may try again."""
