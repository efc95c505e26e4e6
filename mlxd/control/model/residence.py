"""How long a model stays in memory: while it is used, and for a while after that."""

import time

from mlxd.control.memory.exchange import Tenure
from mlxd.control.memory.governor import Resident
from mlxd.control.model.goal import Goal
from mlxd.control.model.wish import Wish
from mlxd.control.model.workers import Workers


class Residence:
    """The use that is made of one model. Times are in seconds, of the monotonic clock."""

    def __init__(self, goal: Goal, workers: Workers) -> None:
        self._goal = goal
        self._workers = workers
        self._touched = time.monotonic()

    def touch(self) -> None:
        """Takes in that the model was asked for, or did something."""
        self._touched = time.monotonic()

    @property
    def is_busy(self) -> bool:
        """Tells whether requests run on the worker that serves, or wait."""
        return self._workers.serving is not None and self._workers.serving.is_busy

    @property
    def last_used(self) -> float:
        """Returns when the model was asked for last, or did something."""
        return max(self._touched, self._workers.serving.last_step if self._workers.serving else 0.0)

    def resident(self, name: str) -> Resident | None:
        """Returns what there is to know of the model ``name``, this one, where it has a worker that serves or leaves; else None."""
        leaves = bool(self._workers.leaving)
        if self._workers.serving is None and not leaves:
            return None
        pinned = self._goal.table.lifecycle.pin
        return Resident(name, is_busy=self.is_busy, is_pinned=pinned, last_used=self.last_used, is_leaving=leaves)

    @property
    def tenure(self) -> Tenure | None:
        """Returns how the model has its place, for those that want it; None where it has none, or leaves it."""
        run, loading, lifecycle = self._workers.serving, self._workers.loading, self._goal.table.lifecycle
        stays = lifecycle.pin or self._goal.wish is Wish.FINISHING
        if (run is None and loading is None) or not (self._goal.wish.wants_worker or stays):
            return None
        return Tenure(
            since=run.ready_at if run is not None and loading is None else None,
            residence=lifecycle.residence,
            turn=lifecycle.turn,
            stays=stays,
            is_busy=self.is_busy,
            last_used=self.last_used,
            rest=self._workers.load_seconds if run is None else run.leases.rest(time.monotonic()),
        )

    def idle_left(self) -> float | None:
        """Returns how long until the model may be unloaded for want of use; None where it never is. One that is busy was used now."""
        limit, run = self._goal.table.lifecycle.idle_unload, self._workers.serving
        if run is None or limit is None or not self._goal.wish.wants_worker:
            return None
        if run.is_busy or self._workers.loading is not None:
            self.touch()
        return max(0.0, self.last_used + limit - time.monotonic())
