"""The control group that this process is in, where Linux has them in version 2: what it may use, what it uses, and how it stands still.

A container's memory is not the machine's: it may be at its end while the machine has plenty, and the machine's stalls may be another's.
"""

from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = "max"


@dataclass(frozen=True)
class Usage:
    """What a group may use, and uses, in bytes. ``used`` is without the files that the system keeps in memory and can drop. ``limit`` is
    where the system begins to take memory back (``memory.high``), or ends processes (``memory.max``), whichever comes first.
    """

    used: int
    limit: int


class ControlGroup:
    """A group, by its ``directory``; what limits those above it limits it, up to ``root``, where the hierarchy is mounted."""

    def __init__(self, directory: Path, root: Path) -> None:
        self._directory = directory
        self._root = root

    @property
    def pressure_file(self) -> Path:
        """Returns the file that says how long the group's tasks stood still."""
        return self._directory / "memory.pressure"

    def tightest(self) -> Usage | None:
        """Returns the usage of the group, or of one above it, that has the least left; None where none of them has a limit."""
        found = [usage for directory in self._upwards() if (usage := _usage(directory)) is not None]
        return min(found, key=lambda usage: usage.limit - usage.used, default=None)

    def _upwards(self) -> list[Path]:
        above = [one for one in self._directory.parents if one.is_relative_to(self._root)]
        return [self._directory, *above]


def own_group(proc: Path = Path("/proc/self")) -> ControlGroup | None:
    """Returns the group of this process; None where there is none, it is the machine's own root, or this is no Linux."""
    try:
        path = next(line.split(":", 2)[2] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::"))
        mount = next(found for line in (proc / "mountinfo").read_text().splitlines() if (found := _mount(line)) is not None)
    except (OSError, StopIteration, IndexError):
        return None
    root, point = mount
    below = Path(path).relative_to(root) if Path(path).is_relative_to(root) else Path(path.lstrip("/"))
    directory = point / below
    has_files = (directory / "memory.pressure").exists() or (directory / "memory.max").exists()
    is_machine = path == "/" and not (directory / "cgroup.type").exists()  # a container's own root has that file
    return ControlGroup(directory, point) if has_files and not is_machine else None


def _mount(line: str) -> tuple[str, Path] | None:
    """Reads the root and the mount point of a hierarchy of version 2 from a line of ``mountinfo``; None for any other line."""
    mount, _, system = line.partition(" - ")
    if not system.startswith("cgroup2 "):
        return None
    _, _, _, root, point, *_ = mount.split(" ")
    return root, Path(point)


def _usage(directory: Path) -> Usage | None:
    try:
        limits = [text for name in ("memory.high", "memory.max") if (text := (directory / name).read_text().strip()) != _UNLIMITED]
        if not limits:
            return None
        current = int((directory / "memory.current").read_text())
        files = next(line.split()[1] for line in (directory / "memory.stat").read_text().splitlines() if line.startswith("inactive_file "))
        return Usage(max(0, current - int(files)), min(map(int, limits)))
    except (OSError, ValueError, StopIteration):
        return None
