"""The system's C++ compiler."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_INCLUDE = Path(__file__).parent / "include"
_LIBRARIES = ["-nodefaultlibs", "-lc", "-lm"]  # to link with the library of C++ takes longer than to compile
_OPTIONS = ["-std=c++17", "-O0", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-Wno-deprecated-declarations", *_LIBRARIES, f"-I{_INCLUDE}"]


def compiler():
    """Returns the compiler's path, or skips the test; in CI its absence is a failure."""
    found = next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no C++ compiler")
    return found or pytest.skip("there is no C++ compiler (Debian: apt-get install g++; macOS: xcode-select --install)")


@functools.cache
def _directory():
    return tempfile.TemporaryDirectory(prefix="mlxd-kernels-")


@functools.cache
def compiled(source):
    """Returns the library; each source is compiled once in a process."""
    path = Path(_directory().name) / hashlib.sha256(source.encode()).hexdigest()[:16]
    path.with_suffix(".cpp").write_text(source)
    command = [compiler(), *_OPTIONS, "-o", path.with_suffix(".so"), path.with_suffix(".cpp")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return ctypes.CDLL(str(path.with_suffix(".so")))
