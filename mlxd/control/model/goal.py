"""What is wanted of one model, held against what there is: how far it is, and what requests are told."""

from mlxd.config.schema import ModelTable
from mlxd.control.model.decision import Decision, Observed, decide, fallback
from mlxd.control.model.load_spec import load_spec, worker_spec
from mlxd.control.model.recovery import Recovery
from mlxd.control.model.wish import Wish
from mlxd.control.model.workers import Workers
from mlxd.errors import MlxdError, ModelDrainedError, ModelFailedError, ModelLoadingError, ShuttingDownError
from mlxd.types import ModelState
from mlxd.wire.messages import Load


class Goal:
    """A goal and its judgement: the attributes say what is wanted, and are the supervisor's to set; the properties judge."""

    def __init__(self, name: str, table: ModelTable, workers: Workers, recovery: Recovery) -> None:
        self.table = table
        self.wish = Wish.UNLOADED
        self.good: ModelTable | None = None  # what the last worker that became ready was started with
        self._name = name
        self._workers = workers
        self._recovery = recovery

    def spec(self, table: ModelTable | None = None) -> Load:
        """Returns what a worker is started with, of ``table`` or what is wanted; two of the same need no new worker."""
        return worker_spec(load_spec(self._name, table or self.table))

    # ---- what to do ----

    def decide(self) -> Decision:
        """Returns the next step."""
        return decide(self.wish, self.observe())

    def observe(self) -> Observed:
        """Returns what there is now."""
        serving, loading = self._workers.serving, self._workers.loading
        return Observed(
            configured=self.spec(),
            good=None if self.good is None else self.spec(self.good),
            serving=serving.spec if serving else None,
            is_stale=serving is not None and serving.stale,
            loading=loading.spec if loading else None,
            in_transition=self._workers.is_in_transition,
            barred=self._recovery.barred,
            due=self._recovery.due,
        )

    def table_of(self, spec: Load) -> ModelTable:
        """Returns the table that ``spec``, one of ``decide``'s, comes from."""
        known = [self.table, *([self._workers.serving.table] if self._workers.serving else []), *([self.good] if self.good else [])]
        return next(table for table in known if self.spec(table) == spec)

    @property
    def has_failed(self) -> bool:
        """Tells whether what the file says cannot be had, and will not be soon."""
        return self.spec() in self._recovery.failed

    @property
    def has_fallback(self) -> bool:
        """Tells whether something was good before, and can be had again."""
        return fallback(self.observe()) is not None

    # ---- how far it is ----

    @property
    def state(self) -> ModelState:
        """Returns the state, which is derived from the workers and the wish, and never set."""
        workers = self._workers
        if workers.serving is not None:
            return ModelState.DRAINING if self.wish is Wish.FINISHING else ModelState.READY
        if self.wish.wants_worker and self.has_failed and workers.loading is None and not self.has_fallback:
            return ModelState.FAILED
        if self.wish.wants_worker or workers.loading is not None:
            return ModelState.LOADING
        return ModelState.DRAINING if workers.all else ModelState.STOPPED

    @property
    def is_gone(self) -> bool:
        """Tells whether nothing is wanted of the model, and nothing is left."""
        return not self.wish.wants_worker and not self._workers.all

    @property
    def is_settled(self) -> bool:
        """Tells whether what is there is what is wanted, or it is known why not."""
        if not self.wish.wants_worker:
            return self.is_gone
        if self._workers.is_in_transition:
            return False
        run = self._workers.serving
        if self.spec() in self._recovery.barred:
            return run is not None or not self.has_fallback
        if run is None or run.spec != self.spec() or run.stale:
            return False
        has_limits = run.limits_refused is not None or run.has_limits_of(self.table)
        return has_limits and run.adapters.is_settled(run.acknowledged.adapters)

    @property
    def differs(self) -> str | None:
        """Says why what runs is not what the configuration says; None if it is, or is on its way."""
        if not self.wish.wants_worker:
            return None
        if self.spec() in self._recovery.barred:
            return self._recovery.last_error or "it failed"
        serving = self._workers.serving
        return None if serving is None else serving.limits_refused or serving.adapters_refused or serving.pins_refused

    @property
    def trouble(self) -> str | None:
        """Says the same as ``differs``, and also why while it is tried again."""
        if self.wish.wants_worker and self.spec() in self._recovery.due:
            return self._recovery.last_error
        return self.differs

    def unavailable(self) -> MlxdError:
        """Returns the error that tells requests why no worker serves, and how long that will last."""
        name, last_error = self._name, self._recovery.last_error
        if self.wish is Wish.FINISHING:
            return ShuttingDownError("the daemon is stopping; try again when it is back", retry_after=5.0)
        if self.wish is Wish.DRAINED:
            return ModelDrainedError(f'the model "{name}" was drained by an operator; it is back when they load it', retry_after=30.0)
        wait, loading = self._recovery.restart_in, self._workers.loading
        again = None if wait is None else max(1.0, wait)
        if self.state is ModelState.FAILED:
            return ModelFailedError(f'the model "{name}" has failed: {last_error}', retry_after=again)
        if loading is None and again is not None:
            how = "cannot be loaded now" if self.wish is Wish.UNLOADED else "is being restarted after"
            return ModelLoadingError(f'the model "{name}" {how}: {last_error}', retry_after=again)
        if loading is not None:
            message = f'the model "{name}" is {loading.progress.describe()}; try again'
            return ModelLoadingError(message, retry_after=loading.progress.seconds_left())
        return ModelLoadingError(f'the model "{name}" is {self.state.value}; try again', retry_after=5.0)
