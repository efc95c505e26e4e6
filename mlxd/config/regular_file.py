"""Small files that the configuration names: secrets, certificates."""

import errno
import os
import stat
from pathlib import Path


def read_at_most(path: Path, size: int) -> bytes:
    """Reads at most one byte more than ``size``. A device or a pipe might never end, or never begin, so neither is read: ``OSError``."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return os.read(fd, size + 1)
    finally:
        os.close(fd)
