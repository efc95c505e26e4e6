"""What tells an adapter's files from others that have taken their places."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Stamp:
    """A file as it was at a moment: which one, how large, and when it was written, in nanoseconds; all zero where there was none."""

    number: int = 0
    size: int = 0
    written: int = 0

    @classmethod
    def of(cls, file: Path) -> Self:
        """Returns that of a file as it is now."""
        try:
            known = file.stat()
        except OSError:
            return cls()
        return cls(known.st_ino, known.st_size, known.st_mtime_ns)


@dataclass(frozen=True)
class Stamps:
    """Those of an adapter's configuration and of its weights."""

    config: Stamp
    weights: Stamp


UNKNOWN = Stamps(Stamp(), Stamp())
