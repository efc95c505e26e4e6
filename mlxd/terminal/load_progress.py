"""What a person sees while a command waits for models: who loads, and how far that is."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from mlxd.errors import MlxdError
from mlxd.terminal.admin_client import AdminClient
from mlxd.terminal.console import cursor_given_back
from mlxd.terminal.values import counted, printable

POLL = 0.5  # seconds
_PATIENCE = 2.0  # seconds; a command that has its answer waits for a poll no longer than this


@contextmanager
def shown_progress(client: AdminClient, console: Console, *, only: str | None = None, poll: float = POLL) -> Iterator[None]:
    """Shows, until the block ends, what the models do; ``only`` one, by id or alias. It uses connections of its own."""
    ended = threading.Event()
    with ExitStack() as lifetime:
        view = _Bars(lifetime, console) if console.is_terminal else _Lines(console)
        thread = threading.Thread(target=_follow, args=(client, view, only, ended, poll), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@dataclass(frozen=True)
class Activity:
    """What one model is about. ``stage`` stays while ``detail`` and ``fraction`` move."""

    model: str
    stage: str
    detail: str = ""
    fraction: float | None = None


def activity(model: Mapping[str, Any]) -> Activity | None:
    """Returns what a model of the admin API is about; None while it rests."""
    name, progress = printable(model["id"]), model["progress"]
    if model["restart_in_seconds"] is not None:
        return Activity(name, "failed, will be tried again", f"in {round(model['restart_in_seconds'])}s")
    if progress is not None or model["state"] == "loading" or model["replacing"]:
        stage, fraction = (printable(progress["stage"]), progress["fraction"]) if progress else ("loading", None)
        return Activity(name, f"{stage} a new worker beside the old one" if model["replacing"] else stage, fraction=fraction)
    if model["state"] == "draining" or model["leaving_pids"]:
        return Activity(name, "draining", counted(model["requests"]["running"] + model["requests"]["waiting"], "request"))
    return None


class _Lines:
    """Progress for logs and pipes: a line for each stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, str] = {}

    def show(self, activities: Sequence[Activity]) -> None:
        for one in activities:
            if self._seen.get(one.model) != one.stage:
                self._console.print(f"{one.model}: {one.stage}")
        self._seen = {one.model: one.stage for one in activities}


class _Bars:
    """Progress for terminals: a bar for each model that is busy, gone when it is done."""

    def __init__(self, lifetime: ExitStack, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[share]}"))
        lifetime.enter_context(cursor_given_back(console))
        self._progress = lifetime.enter_context(Progress(*columns, console=console, transient=True))
        self._tasks: dict[str, TaskID] = {}

    def show(self, activities: Sequence[Activity]) -> None:
        for gone in self._tasks.keys() - {one.model for one in activities}:
            self._progress.remove_task(self._tasks.pop(gone))
        for one in activities:
            if one.model not in self._tasks:
                self._tasks[one.model] = self._progress.add_task(one.model, total=None, share="")
            done, total, share = (0.0, None, "") if one.fraction is None else (one.fraction, 1.0, f"{one.fraction:.0%}")
            description = f"{one.model}: {one.stage} {one.detail}".rstrip()
            self._progress.update(self._tasks[one.model], description=description, completed=done, total=total, share=share)


def _follow(client: AdminClient, view: _Lines | _Bars, only: str | None, ended: threading.Event, poll: float) -> None:
    while not ended.is_set():
        try:
            models = client.get("/admin/v1/models", timeout=_PATIENCE)["models"]
            found = [activity(model) for model in models if only in (None, model["id"], *model["aliases"])]
        except (MlxdError, KeyError, TypeError):
            return  # the command that waits learns why, and says it
        view.show([one for one in found if one is not None])
        ended.wait(poll)
