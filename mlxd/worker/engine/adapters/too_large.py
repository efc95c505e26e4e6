"""What is said of an adapter that there is never room for."""

from mlxd.quantities import size


def too_large(needed: int, limit: int) -> str:
    """Says why an adapter that takes ``needed`` bytes cannot be loaded where all may take ``limit``; empty where it can."""
    return f"takes {size(needed)} when it is loaded, and adapter_memory is {size(limit)}" if needed > limit else ""
