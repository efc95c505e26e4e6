"""Commands of mlxd as a user runs them, to their end."""

import subprocess
import tempfile

from tests.support.forked import python_m
from tests.support.patience import PATIENCE


def mlxd(*arguments, start=python_m):
    """``python -m mlxd`` with these arguments. ``start``: how, see ``tests.support.forked``."""
    return ended("mlxd", *arguments, start=start)


def ended(module, *arguments, start=python_m, env=None):
    """``python -m module`` with these arguments, when it has ended: its code, and what it said."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = start(module, *arguments, stdout=out, stderr=err, env=env)
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read(), err.read())
