"""What a directory takes on its disk."""

import os
from collections.abc import Iterator
from pathlib import Path


def taken(directory: Path) -> int:
    """Returns what ``du`` says, in bytes. Files that go meanwhile count for nothing."""
    return sum(_blocks(path) for path in [directory, *_below(directory)]) * 512


def _below(directory: Path) -> Iterator[Path]:
    for root, directories, names in os.walk(directory):
        yield from (Path(root, name) for name in [*directories, *names])


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks
    except FileNotFoundError:
        return 0
