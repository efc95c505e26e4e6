"""The limit of open files, which mlx_lm sets for the whole process when it is imported: to 2048, at most 4096.

Where the system allows fewer (a container's or a unit's own limit), its import fails, and with it every model. The limit is the daemon's
business, and a worker inherits it.
"""

import resource


def import_library() -> None:
    """Imports mlx_lm, and leaves the limit as it is."""
    set_limit = resource.setrlimit
    resource.setrlimit = _ignored
    try:
        import mlx_lm.utils  # noqa: F401, PLC0415 - this is what sets it
    finally:
        resource.setrlimit = set_limit


def _ignored(_which: int, _limits: tuple[int, int], /) -> None:
    pass
