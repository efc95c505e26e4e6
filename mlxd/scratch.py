"""Directories that a worker needs for a moment, of which none is left, however its process ends.

Their names have the process in them: where it is killed, whoever hears of its end removes them.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_directory(purpose: str) -> Iterator[Path]:
    """Makes an empty directory, and removes it with all that is in it."""
    with tempfile.TemporaryDirectory(prefix=f"{_prefix(os.getpid())}{purpose}-") as name:
        yield Path(name)


def remove_scratch(pid: int) -> None:
    """Removes what is left of a process that has ended, or is about to. What cannot be removed stays."""
    with contextlib.suppress(OSError):  # on a full disk there is no place for temporary files
        for path in Path(tempfile.gettempdir()).glob(f"{_prefix(pid)}*"):
            shutil.rmtree(path, ignore_errors=True)


def _prefix(pid: int) -> str:
    return f"mlxd-worker-{pid}-"
