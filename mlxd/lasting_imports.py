"""Imports of large libraries, of which the garbage collector is to know nothing.

It would look through the new modules' tens of thousands of objects while they are imported, for a sixth of that time, and again for as
long as the process lives: for 40 ms of processor time each time, in which no request is taken and no token comes.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Imports without the collector, which from then on passes over what was imported, and whatever else there is by then."""
    known, was_enabled = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if was_enabled:
            gc.enable()
