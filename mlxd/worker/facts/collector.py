"""The garbage collector, which has no business among a model's files."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Runs the body without the garbage collector. A vocabulary is read into hundreds of thousands of objects that stay, and while they
    become more it would look through all of them again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
