"""What is wanted of one model, as one value."""

from dataclasses import dataclass
from enum import Enum

from mlxd.config.schema import ModelTable


class Wish(Enum):
    """What may be wanted of a model. The configuration and operators may set anything; a request only ``LOADED_FOR_REQUEST``, of what is
    ``UNLOADED``.
    """

    UNLOADED = "unloaded"  # no worker; the next request brings one back
    DRAINED = "drained"  # no worker, and requests are refused until an operator loads it
    LOADED = "loaded"  # a worker that serves, kept so
    LOADED_FOR_REQUEST = "loaded_for_request"  # as LOADED; a request waits for it, so that others give way to it
    FINISHING = "finishing"  # the daemon stops: who serves finishes what runs, and nothing begins

    @property
    def wants_worker(self) -> bool:
        """Tells whether a worker is to be there, and to be started again if it is lost."""
        return self in (Wish.LOADED, Wish.LOADED_FOR_REQUEST)


@dataclass(frozen=True)
class Order:
    """What is wanted of a model, and by which table."""

    table: ModelTable
    wish: Wish
