"""Control groups of Linux: one whose stalls are told (version 2), and one with so little memory that its tasks stand still (version 1)."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

_HOG = """
import os, sys
path, size = sys.argv[1], int(sys.argv[2])
with open(path, "wb") as file:
    for _ in range(size >> 20):
        file.write(os.urandom(1 << 20))
    os.fsync(file.fileno())
descriptor = os.open(path, os.O_RDONLY)
while True:
    os.lseek(descriptor, 0, os.SEEK_SET)
    while os.read(descriptor, 1 << 16):
        pass
"""
_LITTLE = 24 * 2**20
_FILE = 48 * 2**20  # bytes that each hog reads again and again: the little there is never holds them


class NoControlGroupsError(Exception):
    """This machine does not let a test make such groups; the message says why."""


class ControlGroups:
    """``with``: made, and removed. Processes are moved into them by ``entering`` and ``hog``. Raises ``NoControlGroupsError``."""

    def __init__(self):
        self.stalls = _mount("cgroup2") / f"mlxd-test-{os.getpid()}"
        self._memory = _mount("cgroup", "memory") / _own("memory").lstrip("/") / f"mlxd-test-{os.getpid()}"
        self._hogs = []

    def __enter__(self):
        try:
            self.stalls.mkdir()
            self._memory.mkdir()
            (self._memory / "memory.limit_in_bytes").write_text(str(_LITTLE))
        except OSError as error:
            self._remove()
            raise NoControlGroupsError(f"no control group can be made here: {error}") from error
        if not (self.stalls / "memory.pressure").exists():
            self._remove()
            raise NoControlGroupsError("the kernel does not tell how long the tasks of a control group stand still")
        return self

    def __exit__(self, *_):
        self.rest()
        self._remove()

    def entering(self, *command):
        """``command``, as it is begun inside of the group whose stalls are told."""
        return ["sh", "-c", f'echo $$ > "{self.stalls}/cgroup.procs" && exec "$@"', "sh", *map(str, command)]

    def hog(self, directory, count):
        """So many processes begin to want more memory than they can have."""
        for number in range(count):
            command = [sys.executable, "-c", _HOG, str(directory / f"hog{number}"), str(_FILE)]
            enter = f'echo $$ > "{self._memory}/cgroup.procs" && exec "$@"'
            self._hogs.append(subprocess.Popen(self.entering("sh", "-c", enter, "sh", *command)))

    def rest(self):
        """They end."""
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs.clear()

    def _remove(self):
        for directory in (self.stalls, self._memory):
            with contextlib.suppress(OSError):
                directory.rmdir()


def _own(controller):
    """The group of this process in a hierarchy of version 1."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    raise NoControlGroupsError(f"{controller} is no controller of control groups of version 1 here")


def _mount(kind, option=""):
    if not Path("/proc/self/mountinfo").exists():
        raise NoControlGroupsError("this is no Linux")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, system = line.partition(" - ")
        name, _, options = system.split(" ", 2)
        if name == kind and (not option or option in options.split(",")):
            return Path(mount.split(" ")[4])
    raise NoControlGroupsError(f"no control groups are mounted here that a test could use ({kind} {option})".replace(" )", ")"))
