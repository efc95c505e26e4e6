"""Commands of mlxd as a user runs them, to their end."""

import subprocess
import tempfile

from tests.support.forked import python_m


def mlxd(*arguments, start=python_m):
    """``python -m mlxd`` with these arguments. ``start``: how, see ``tests.support.forked``."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = start("mlxd", *arguments, stdout=out, stderr=err)
        try:
            code = process.wait(60)
        finally:
            process.kill()
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read(), err.read())
