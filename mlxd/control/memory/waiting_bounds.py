"""How many requests may wait for their models, and how long."""

from dataclasses import dataclass

from mlxd.config.schema import Config, MemoryTable

_DEFAULTS = MemoryTable()


@dataclass(frozen=True)
class WaitingBounds:
    """The bounds: ``patience`` is the seconds that one waits for its model's turn, ``most`` how many may wait, of all models."""

    patience: float = _DEFAULTS.patience
    most: int = _DEFAULTS.max_waiting


def waiting_bounds(config: Config) -> WaitingBounds:
    """Returns the bounds that ``config`` sets."""
    return WaitingBounds(config.memory.patience, config.memory.max_waiting)
