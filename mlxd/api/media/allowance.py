"""How many bytes of pictures and films a daemon has at a time."""

from dataclasses import dataclass
from typing import Self

from mlxd.config.schema import MOST_MEDIA
from mlxd.config.units import format_size
from mlxd.errors import InvalidRequestError, QueueFullError

_MOST_HELD = 2**30  # bytes, of all requests under way


@dataclass
class Held:
    """The bytes of all requests together."""

    bytes: int = 0


class Allowance:
    """What one request may take; used as a context manager, it gives that back."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.bytes -= self._taken
        self._taken = 0

    def take(self, count: int) -> None:
        """Takes so many bytes more. Raises ``InvalidRequestError``, which goes on after the name of the part, where the request has too
        many, and ``QueueFullError`` where all together have.
        """
        if self._taken + count > MOST_MEDIA:
            raise too_much()
        if self._held.bytes + count > _MOST_HELD:
            raise QueueFullError("pictures and films of other requests take all the memory there is for them; try again", retry_after=1.0)
        self._taken += count
        self._held.bytes += count


def too_large(most: int) -> InvalidRequestError:
    """Returns the error of a file that has more than ``most`` bytes."""
    return InvalidRequestError(f"has more than {format_size(most)} (server.media.max_bytes)")


def too_much() -> InvalidRequestError:
    """Returns the error of the file by which a request has too many bytes."""
    return InvalidRequestError(f"is too much: all pictures and films of a request may have {format_size(MOST_MEDIA)} together")
