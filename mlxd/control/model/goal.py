"""What is wanted of one model, held against what there is: the decisions, without the doing."""

from mlxd.config.schema import ModelTable
from mlxd.control.model.load_spec import limits, load_spec, worker_spec
from mlxd.control.model.recovery import Recovery
from mlxd.control.model.workers import Workers
from mlxd.errors import MlxdError, ModelDrainedError, ModelFailedError, ModelLoadingError, ShuttingDownError
from mlxd.types import ModelState
from mlxd.wire.messages import Load


class Goal:
    """The attributes say what is wanted, and are the supervisor's to set; the properties judge."""

    def __init__(self, name: str, table: ModelTable, workers: Workers, recovery: Recovery) -> None:
        self.table = table
        self.wanted = False
        self.by_request = False  # its load was asked for by a request: others may give way to it
        self.held = False  # an operator drained it: requests do not bring it back
        self.quiescing = False  # the daemon is stopping
        self.good: ModelTable | None = None  # what the last worker that became ready was started with
        self._name = name
        self._workers = workers
        self._recovery = recovery

    def spec(self, table: ModelTable | None = None) -> Load:
        """What a worker is started with, of ``table`` or what is wanted; two of the same need no new worker."""
        return worker_spec(load_spec(self._name, table or self.table))

    # ---- which worker ----

    @property
    def target(self) -> ModelTable | None:
        """What a worker should run with now: what the file says, or, where that has failed, what was good before. None: no worker."""
        if not self.wanted:
            return None
        if not self.has_failed:
            return self.table
        return self._workers.serving.table if self._workers.serving else self.fallback

    @property
    def has_failed(self) -> bool:
        """What the file says cannot be had."""
        return self._recovery.has_failed(self.spec())

    @property
    def fallback(self) -> ModelTable | None:
        """What was good before, unless that has failed too."""
        return self.good if self.good is not None and not self._recovery.has_failed(self.spec(self.good)) else None

    def is_replacement(self, spec: Load) -> bool:
        """Another worker is or was good: a new one has to prove itself, and is not tried twice."""
        return self._workers.serving is not None or (self.good is not None and self.spec(self.good) != spec)

    # ---- how far it is ----

    @property
    def state(self) -> ModelState:
        """Derived, never set."""
        workers = self._workers
        if workers.serving is not None:
            return ModelState.DRAINING if self.quiescing else ModelState.READY
        if self.wanted and self.has_failed and workers.loading is None and self.fallback is None:
            return ModelState.FAILED
        if self.wanted or workers.loading is not None:
            return ModelState.LOADING
        return ModelState.DRAINING if workers.all else ModelState.STOPPED

    @property
    def is_gone(self) -> bool:
        """Nothing is wanted of it, and nothing is left."""
        return not self.wanted and not self._workers.all

    @property
    def is_settled(self) -> bool:
        """What is there is what is wanted, or it is known why not."""
        if not self.wanted:
            return self.is_gone
        if self._workers.is_in_transition:
            return False
        if self._recovery.restart_in is not None:
            return True
        run = self._workers.serving
        if self.has_failed:
            return run is not None or self.fallback is None
        if run is None or run.spec != self.spec() or run.stale:
            return False
        return run.limits_refused is not None or run.acknowledged == limits(self.table)

    @property
    def differs(self) -> str | None:
        """Why what runs is not what the configuration says; None if it is, or is on its way."""
        if not self.wanted:
            return None
        if self.has_failed or self._recovery.restart_in is not None:
            return self._recovery.last_error or "it failed"
        return self._workers.serving.limits_refused if self._workers.serving else None

    def unavailable(self) -> MlxdError:
        """Why no worker serves, and how long that will last: for requests."""
        name, last_error = self._name, self._recovery.last_error
        if self.quiescing:
            return ShuttingDownError("the daemon is stopping; try again when it is back", retry_after=5.0)
        if self.held:
            return ModelDrainedError(f'the model "{name}" was drained by an operator; it is back when they load it', retry_after=30.0)
        if self.state is ModelState.FAILED:
            return ModelFailedError(f'the model "{name}" has failed: {last_error}')
        wait, loading = self._recovery.restart_in, self._workers.loading
        if wait is not None:
            return ModelLoadingError(f'the model "{name}" is being restarted after: {last_error}', retry_after=max(1.0, wait))
        if loading is not None:
            message = f'the model "{name}" is {loading.progress.describe()}; try again'
            return ModelLoadingError(message, retry_after=loading.progress.seconds_left())
        return ModelLoadingError(f'the model "{name}" is {self.state.value}; try again', retry_after=5.0)
