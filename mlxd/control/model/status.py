"""Actual state of one model, as a value for those who look (admin, metrics, API)."""

from dataclasses import dataclass

from mlxd.adapter_terms import AdapterFigures
from mlxd.config.keys import Key
from mlxd.config.schema import ModelTable
from mlxd.config.task_checks import unused_keys
from mlxd.types import ModelState, ResolvedLimits, Task
from mlxd.wire.messages import Heartbeat, Progress, Ready


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """A moment of a model's life. It is made anew at each look, and never kept."""

    name: str
    config: ModelTable
    state: ModelState
    on_demand: bool = False  # it is not ready, and a request would have it loaded, and be answered
    desired: ModelState = ModelState.READY  # what the configuration asks for: READY or STOPPED
    since: float  # Unix time of the last change of state
    created: int  # Unix time the model was configured; what OpenAI's ``created`` shows
    pid: int | None = None
    progress: Progress | None = None  # of the worker that loads
    is_replacing: bool = False  # that worker is to take over from the one that serves
    leaving: tuple[int, ...] = ()  # pids of workers that end, once their requests are done
    differs: str | None = None  # why what runs is not what the configuration says
    ready: Ready | None = None  # what the worker said when it became ready
    seen_tasks: tuple[Task, ...] | None = None  # what it could be asked to do when it was loaded last
    heartbeat: Heartbeat | None = None
    limits: ResolvedLimits | None = None  # those the worker has, not those it was asked to take
    running: int = 0
    waiting: int = 0
    awaiting: int = 0  # requests that wait until it is loaded, or for its turn
    restarts: int = 0  # since the daemon started
    restart_in: float | None = None  # seconds until the next attempt, during back-off
    last_error: str | None = None

    @property
    def tasks(self) -> tuple[Task, ...] | None:
        """Returns what it can be asked to do; None where only its files say so, and it was never loaded."""
        if self.ready:
            return self.ready.tasks
        return self.seen_tasks if self.config.task == "auto" else (Task(self.config.task),)

    @property
    def unused_keys(self) -> tuple[Key, ...]:
        """Returns the keys of the configuration that do nothing, as its files turned out to be of a model that does not generate."""
        return unused_keys(self.config, self.ready.tasks) if self.ready else ()

    @property
    def adapters(self) -> tuple[AdapterFigures, ...]:
        """Returns the adapters that are configured, in the file's order, as the worker that serves has them."""
        told = {one.name: one for one in self.heartbeat.adapters} if self.heartbeat and self.ready else {}
        return tuple(told.get(name, AdapterFigures(name=name, pinned=table.pin)) for name, table in self.config.adapters.items())
