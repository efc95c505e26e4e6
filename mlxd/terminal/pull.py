"""``mlxd pull``: fetch a model in a child process (the only place MLX may live) and draw its progress."""

import json
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TransferSpeedColumn

from mlxd.errors import MlxdError, from_code


def pull(source: str, console: Console) -> str:
    """The directory of the model. Raises the typed error the child reports; ``MlxdError`` if it dies."""
    command = [sys.executable, "-m", "mlxd.worker.pull", source]
    with (
        _progress(console) as progress,
        subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as child,
    ):
        task: TaskID | None = None
        try:
            for line in child.stdout or ():
                said: dict[str, Any] = json.loads(line)
                if "path" in said:
                    return str(said["path"])
                if "error" in said:
                    raise from_code(said["error"]["code"], said["error"]["message"])
                task = task if task is not None else progress.add_task("")
                progress.update(task, description=f"{said['stage']} {source}", completed=said["done"], total=said["total"] or None)
        except KeyboardInterrupt:
            child.terminate()
            raise
    raise MlxdError(f"fetching {source} ended with exit code {child.returncode} and no result")


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True)
