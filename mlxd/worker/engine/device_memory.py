"""What the engine asks of the device's memory, beside what a runner holds of it."""

from typing import Protocol

from mlxd.types import ResolvedLimits


class DeviceMemory(Protocol):
    """The memory of the device that a model is on. All calls come from the engine thread."""

    def hold_to(self, limits: ResolvedLimits) -> None:
        """Makes the limits hold that no runner knows of: what is kept of freed buffers, and how much stays resident."""

    def release(self) -> None:
        """Gives back all that was freed and is kept to be used again."""

    def tidy(self, seconds: float) -> None:
        """Gives back what the process has freed and its allocator keeps, if that was done longer than so many seconds ago."""
