"""What a person has chosen to see, and how keys change it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from itertools import cycle
from typing import Any


class Key(Enum):
    """What a key means."""

    UP = auto()
    DOWN = auto()
    ENTER = auto()
    BACK = auto()
    SORT = auto()
    PAUSE = auto()
    HELP = auto()
    QUIT = auto()
    OTHER = auto()  # one that means nothing, but closes help


class Sort(StrEnum):
    """Models stand in the order of the file, or the greatest come first."""

    FILE = "file"
    SPEED = "tok/s"
    REQUESTS = "requests"
    MEMORY = "memory"
    NAME = "name"

    @property
    def following(self) -> "Sort":
        """Returns the next order; the last is followed by the first."""
        orders = cycle(Sort)
        while next(orders) is not self:
            continue
        return next(orders)


@dataclass(frozen=True)
class View:
    """A view is how a person looks at a daemon."""

    chosen: str | None = None  # a model's id; it may be gone by now
    sort: Sort = Sort.FILE
    is_close: bool = False  # the chosen model alone
    is_paused: bool = False
    shows_help: bool = False

    def after(self, key: Key, models: Sequence[str]) -> "View":
        """Returns the view after ``key``; ``models`` are the ids in the order they are shown in."""
        if self.shows_help:
            return replace(self, shows_help=False)
        changes: dict[Key, dict[str, Any]] = {
            Key.UP: {"chosen": self._beside(models, -1)},
            Key.DOWN: {"chosen": self._beside(models, 1)},
            Key.ENTER: {"is_close": not self.is_close},
            Key.BACK: {"is_close": False},
            Key.SORT: {"sort": self.sort.following},
            Key.PAUSE: {"is_paused": not self.is_paused},
            Key.HELP: {"shows_help": True},
        }
        return replace(self, **changes.get(key, {}))

    def choice(self, models: Sequence[str]) -> str | None:
        """Returns the chosen model, or the first where it is gone."""
        return self.chosen if self.chosen in models else next(iter(models), None)

    def _beside(self, models: Sequence[str], step: int) -> str | None:
        choice = self.choice(models)
        return None if choice is None else models[min(len(models) - 1, max(0, models.index(choice) + step))]
