"""Programs of others, where they are installed: in the directory that ``MLXD_CLIENTS`` names, or anywhere on the path."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.patience import PATIENCE

_DIRECTORY = os.environ.get("MLXD_CLIENTS", "")
_PLACES = [f"{_DIRECTORY}/node_modules/.bin", f"{_DIRECTORY}/bin"] if _DIRECTORY else []
PATH = os.pathsep.join([*_PLACES, os.environ.get("PATH", "")])


def program(name: str) -> str:
    """Its path. Skips the test where there is none."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: neither in MLXD_CLIENTS nor on the path")
    return found


def node_modules(*packages: str) -> Path:
    """The directory that has these packages for Node. Skips the test where they are not all there."""
    program("node")
    found = Path(_DIRECTORY) / "node_modules"
    missing = [package for package in packages if not _DIRECTORY or not (found / package).is_dir()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not in the node_modules of MLXD_CLIENTS")
    return found


def python_with(module: str) -> str:
    """An interpreter that has this module: our own, or that of ``MLXD_CLIENTS``. Skips the test where neither has."""
    if importlib.util.find_spec(module) is not None:
        return sys.executable
    other = Path(_DIRECTORY) / "bin" / "python"
    if not _DIRECTORY or not [*other.parents[1].glob(f"lib/python3*/site-packages/{module}")]:
        pytest.skip(f"{module} is not installed: neither here nor in MLXD_CLIENTS")
    return str(other)


def _end_all_of(home: Path) -> None:
    """Ends what a program has left running behind it: whatever has this home, which is nobody else's."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                process.kill()


def run(command: list[str], directory: Path, **environment: str) -> str:
    """What a program prints that ends well, in a home of its own. It and all that it started is ended if it takes too long."""
    home = directory.parent / f"{directory.name}.home"
    home.mkdir(exist_ok=True)
    given = {"PATH": PATH, "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", "CI": "1", "NO_COLOR": "1"} | environment
    process = subprocess.Popen(
        command, cwd=directory, env=given, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        printed, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        raise AssertionError(f"{command[0]} does not end:\n{printed[-5000:]}") from None
    finally:
        _end_all_of(home)
    assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{printed[-5000:]}"
    return printed
