"""What is said of an adapter that there is never room for."""

from mlxd.quantities import size


def too_large(needed: int, limit: int) -> str:
    """Says why an adapter that takes ``needed`` bytes cannot be loaded where all may take ``limit``; empty where it can."""
    if needed <= limit:
        return ""
    has = (
        f"adapter_memory is {size(limit)}"
        if limit
        else "there is no memory for adapters: adapter_memory is 0, or none is configured any more"
    )
    return f"takes {size(needed)} when it is loaded, and {has}"
