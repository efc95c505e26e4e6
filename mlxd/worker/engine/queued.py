"""What waits for a runner, whatever its task: of a request, what the engine itself looks at."""

from typing import Protocol


class QueuedRequest(Protocol):
    """A request that is ready to be computed. ``aborted`` may be set by any thread; the engine looks at every step."""

    id: str
    priority: int  # lower goes first, as ``WaitingLine`` ranks
    arrived: float  # monotonic seconds
    number: int  # of requests: those that arrive at once go in the order of their making
    aborted: bool

    @property
    def size(self) -> int:
        """Returns how many tokens belong together, and may have to be computed at once: those of a prompt, or of its longest text."""
