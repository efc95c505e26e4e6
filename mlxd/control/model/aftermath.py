"""What follows from what a model's workers do: what is remembered of it, what is wanted from then on, and what the log says."""

import structlog

from mlxd.client.worker_client import WorkerExit
from mlxd.control.model.decision import is_replacement
from mlxd.control.model.failure import is_permanent, is_worth_retrying_beside
from mlxd.control.model.goal import Goal
from mlxd.control.model.recovery import Recovery
from mlxd.control.model.wish import Wish
from mlxd.control.model.worker_run import WorkerRun
from mlxd.control.model.workers import Workers
from mlxd.errors import InsufficientMemoryError, MlxdError
from mlxd.wire.messages import Load

_log = structlog.get_logger(__name__)


class Aftermath:
    """The consequences for the goal of one model, and for its recovery."""

    def __init__(self, name: str, goal: Goal, workers: Workers, recovery: Recovery) -> None:
        self._name = name
        self._goal = goal
        self._workers = workers
        self._recovery = recovery

    def ready(self, run: WorkerRun) -> None:
        """Takes in that ``run`` serves."""
        self._goal.good, self._recovery.lacking = run.table, None
        self._nobody_waits()
        self._recovery.succeeded(run.spec)

    def load_failed(self, run: WorkerRun, error: MlxdError) -> None:
        """Takes in that ``run`` does not come, and why."""
        serving, for_request = self._workers.serving, self._goal.wish is Wish.LOADED_FOR_REQUEST
        self._recovery.lacking = run.needs if isinstance(error, InsufficientMemoryError) else None
        if serving is not None and serving.spec == run.spec:  # a restart: what serves is good all the same
            serving.stale, serving.not_replaced, self._recovery.last_error = False, error.message, error.message
            _log.error("model_restart_failed", model=self._name, reason=error.message)
        elif self._recovery.lacking is not None and for_request and self._is_lazy:
            self._recovery.last_error = error.message
            _log.warning("model_load_refused", model=self._name, reason=error.message)
        elif is_permanent(error) or (is_replacement(run.spec, self._goal.observe()) and not is_worth_retrying_beside(error)):
            self.give_up(error.message, run.spec)
            return
        else:
            self._recovery.crashed(run.spec, "load_failed", error.message, self._goal.table.worker)
        if for_request:  # whoever waits hears why not; the next request for a lazy model tries again
            self._goal.wish = Wish.UNLOADED if self._is_lazy else Wish.LOADED

    def lost(self, run: WorkerRun, ended: WorkerExit) -> None:
        """Takes in that ``run``, which served, has ended unasked."""
        if self._goal.wish.wants_worker:
            self._recovery.crashed(run.spec, ended.reason, ended.detail, self._goal.table.worker)

    def give_up(self, reason: str, spec: Load) -> None:
        """Takes in that ``spec`` cannot be had until somebody does something."""
        self._recovery.give_up(spec, reason)
        self._nobody_waits()
        has_other = self._workers.serving is not None or self._goal.has_fallback
        _log.error("model_replacement_failed" if has_other else "model_failed", model=self._name, reason=reason)

    @property
    def _is_lazy(self) -> bool:
        return self._goal.table.lifecycle.load == "lazy"

    def _nobody_waits(self) -> None:
        """Takes in that the request that the model was loaded for has been answered, or is about to be."""
        if self._goal.wish is Wish.LOADED_FOR_REQUEST:
            self._goal.wish = Wish.LOADED
