"""A worker's stages, ``Loading`` and then ``Serving``: who takes the daemon's messages now."""

from typing import Protocol

from mlxd.types import MemoryFigures
from mlxd.wire.jobs import Job
from mlxd.wire.messages import Abort, Detokenize, EvictCache, Heartbeat, LoadAdapter, Proceed, Reconfigure, Tokenize, UnloadAdapter

StageMessage = Proceed | Job | Abort | Tokenize | Detokenize | Reconfigure | EvictCache | LoadAdapter | UnloadAdapter


class Stage(Protocol):
    """A stage takes the daemon's messages; every method is called on the I/O thread."""

    def take(self, message: StageMessage) -> None:
        """Does, answers or keeps what the daemon says: nothing is lost because it came early."""

    def heartbeat(self, process: MemoryFigures) -> Heartbeat:
        """Returns the present figures, to which ``process`` adds what the system says of this process."""

    def close(self) -> None:
        """Lets the engine thread end at its next step; what runs is forgotten."""
