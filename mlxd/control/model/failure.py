"""Which failures of a load another try may mend."""

from mlxd.errors import ConfigError, InsufficientMemoryError, MlxdError, ModelSourceError, ModelUnreachableError, VersionMismatchError

# What somebody has to edit, replace or free first. A model that lacks memory is tried again as soon as memory is given back.
_PERMANENT = (ModelSourceError, ConfigError, VersionMismatchError, InsufficientMemoryError)


def is_permanent(error: MlxdError) -> bool:
    """Tells whether loading again cannot help. A source that cannot be reached now (a disk, a hub) may be there later."""
    return isinstance(error, _PERMANENT) and not is_worth_retrying_beside(error)


def is_worth_retrying_beside(error: MlxdError) -> bool:
    """Tells whether another try costs nothing to the worker that serves: this one ended before it took memory or computed anything."""
    return isinstance(error, ModelUnreachableError)
