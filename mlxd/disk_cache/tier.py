"""What an engine sees of a cache on disk."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from mlxd.disk_terms import DiskFigures, DiskSettings


@dataclass(frozen=True, kw_only=True)
class Spilled:
    """A block as it goes to disk and comes back: its name, what that name was made of, and its bytes.

    Whoever reads one compares ``parent``, ``tokens`` and ``extra`` with what was looked for: a name is a hash. ``payload`` is as many
    buffers as the writer likes, and comes back as just as many, each a read-only ``memoryview`` of bytes; what they mean is settled by
    the identity that the tier was made for.
    """

    digest: bytes
    parent: bytes
    tokens: tuple[int, ...]
    extra: tuple[bytes, ...] = ()
    payload: tuple[bytes | memoryview, ...]

    @property
    def size(self) -> int:
        """Returns the bytes of its payload."""
        return sum(memoryview(part).nbytes for part in self.payload)


class DiskTier(Protocol):
    """Blocks of one identity: of a model's weights, its type of keys and values, its size of blocks.

    No call but ``wait_until_open`` and ``settle`` waits for a disk, and none raises because of one: a tier that cannot be used holds
    nothing and takes nothing, until it can. Every call is safe from every thread.
    """

    def wait_until_open(self, seconds: float) -> bool:
        """Waits until it is known what is stored, or that nothing can be told of it, for so long at most, and returns whether it is: for a
        worker that begins. It is so where no disk is wanted.
        """
        ...

    def known(self, digests: Sequence[bytes]) -> int:
        """Returns how many of ``digests``, from the first on, are stored. It looks at memory alone; reading may still find less."""
        ...

    def room(self) -> int:
        """Returns how many bytes of payload ``write`` takes now, so that nothing is copied in vain; 0 where it would take nothing."""
        ...

    def write(self, blocks: Sequence[Spilled]) -> int:
        """Takes blocks to be written, from the first on and as many as there is room for, and returns how many. What is stored already, or
        waits to be written, counts as taken. Their buffers must not change until they are written: that is not told.
        """
        ...

    def read(self, digests: Sequence[bytes]) -> Future[tuple[Spilled, ...]]:
        """Returns the blocks, from the first on up to the first that is missing or is not what was written. The future never raises, and
        is done in a time that is bounded: of a disk that does not answer nothing is had. It is done by another thread, which holds all
        of the blocks in memory: whoever wants many asks for them in portions. One that is cancelled in time is not read.
        """
        ...

    def touch(self, digests: Sequence[bytes]) -> None:
        """Notes that blocks were of use: they are given up later than others, of a chain the last ones first. Reading does so, too."""
        ...

    def reconfigure(self, settings: DiskSettings | None) -> None:
        """Takes other settings over, from now on; None switches it off. The same ones make it try again what failed."""
        ...

    def figures(self) -> DiskFigures:
        """Returns what it holds and did, for people and metrics."""
        ...

    def settle(self, seconds: float) -> bool:
        """Waits until what was taken is written or given up, for so long at most, and returns whether it is: for a worker that ends."""
        ...

    def close(self) -> None:
        """Ends it. What waits to be written is given up; it never waits for a disk that does not answer."""
        ...
