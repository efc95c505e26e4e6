"""``mlxd pull``: fetch a model in a child process (the only place MLX may live) and draw its progress."""

import contextlib
import json
import os
import subprocess
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from mlxd import child_process
from mlxd.errors import MlxdError, from_code


def pull(source: str, console: Console, *, kind: Literal["model", "adapter"] = "model") -> str:
    """Returns the directory of the model, or of the adapter. Raises the typed error that the child reports, and ``MlxdError`` if it
    dies.
    """
    command = [*child_process.command("mlxd.worker.pull"), *(["--adapter"] if kind == "adapter" else []), source]
    environment = child_process.environment(os.environ, source)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment) as child,
        contextlib.ExitStack() as shown,
    ):
        show = _Show(source, console, shown)
        try:
            for line in child.stdout or ():
                said: dict[str, Any] = json.loads(line)
                if "path" in said:
                    return str(said["path"])
                if "error" in said:
                    raise from_code(said["error"]["code"], said["error"]["message"])
                show.update(said["stage"], said["done"], said["total"])
        except KeyboardInterrupt:
            child.terminate()
            raise
    raise MlxdError(f"fetching {source} ended with exit code {child.returncode} and no result")


class _Show:
    """A bar on a terminal, which appears with the first progress; elsewhere a line for each stage."""

    def __init__(self, source: str, console: Console, lifetime: contextlib.ExitStack) -> None:
        self._source = source
        self._console = console
        self._lifetime = lifetime
        self._stage = ""
        self._bar: Progress | None = None

    def update(self, stage: str, done: int, total: int) -> None:
        """Takes in that ``done`` of ``total`` bytes are there; ``total`` is 0 where a stage cannot tell."""
        if not self._console.is_terminal:
            if stage != self._stage:
                self._console.print(f"{stage} {self._source}", highlight=False, soft_wrap=True)
            self._stage = stage
            return
        if self._bar is None:
            self._bar = self._lifetime.enter_context(_progress(self._console))
            self._bar.add_task("")
        self._bar.update(self._bar.task_ids[0], description=f"{stage} {self._source}", completed=done, total=total or None)


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True)
