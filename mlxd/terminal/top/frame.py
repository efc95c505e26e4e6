"""``Frame``: everything one drawing is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlxd.terminal.status_table import process_bytes
from mlxd.terminal.top.history import NOW, History, Look
from mlxd.terminal.top.view import Sort, View
from mlxd.terminal.values import time_of

Model = Mapping[str, Any]  # as the admin API shows it


@dataclass(frozen=True)
class Frame:
    """A moment: what the daemon said last, what it did before, and how a person looks at it."""

    history: History
    view: View
    silent: float | None = None  # seconds since the last answer, where another one is overdue
    failure: str = ""  # why, where that is known

    @property
    def look(self) -> Look:
        return self.history.looks[-1]

    @property
    def status(self) -> Mapping[str, Any]:
        return self.look.status

    @property
    def now(self) -> datetime:
        """Returns the time by the daemon's clock."""
        return time_of(self.status["time"])

    @property
    def models(self) -> list[Model]:
        """Returns the models in the order they are shown in. Equals stay in the file's order."""
        models = list(self.status["models"])
        return sorted(models, key=self._sort_key()) if self.view.sort is not Sort.FILE else models

    @property
    def ids(self) -> list[str]:
        return [model["id"] for model in self.models]

    @property
    def chosen(self) -> Model | None:
        """Returns the chosen model; None where there are no models."""
        choice = self.view.choice(self.ids)
        return next((model for model in self.models if model["id"] == choice), None)

    @property
    def requests(self) -> Sequence[Mapping[str, Any]] | None:
        """Returns the requests of the chosen model; None while they were not asked for yet."""
        return self.look.requests if self.chosen is not None and self.chosen["id"] == self.look.model else None

    def _sort_key(self) -> Callable[[Model], Any]:
        keys: dict[Sort, Callable[[Model], Any]] = {
            Sort.NAME: lambda model: model["id"],
            Sort.SPEED: lambda model: -(self.history.recent(model["id"], NOW).rate("generated") or 0.0),
            Sort.REQUESTS: lambda model: -(model["requests"]["running"] + model["requests"]["waiting"]),
            Sort.MEMORY: lambda model: -(process_bytes(model) or 0),
        }
        return keys[self.view.sort]
