"""Directories that are looked at before anything is loaded, by a process of the worker's code, as a worker would."""

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

from mlxd import child_process
from mlxd.errors import MlxdError


def examine(module: str, asked: Sequence[str], source: str) -> list[dict[str, Any]]:
    """Returns what ``module`` says of each that is ``asked``, in their order. ``source`` is one of them, a directory. Raises ``MlxdError``
    if that process dies.
    """
    command = [*child_process.command(module), *asked]
    environment = child_process.environment(os.environ, source)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment) as child:
        lines = list(child.stdout or ())
    if child.returncode != 0 or len(lines) != len(asked):
        raise MlxdError(f"{module} ended with exit code {child.returncode} and no result")
    return [json.loads(line) for line in lines]
