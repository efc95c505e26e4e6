"""The status of one model, as it is put together from what its supervisor has."""

from mlxd.control.model.goal import Goal
from mlxd.control.model.recovery import Recovery
from mlxd.control.model.status import ModelStatus
from mlxd.control.model.workers import Workers
from mlxd.types import ModelState


def picture(name: str, goal: Goal, workers: Workers, recovery: Recovery, *, created: int, since: float, on_demand: bool) -> ModelStatus:  # noqa: PLR0913
    """Returns a picture of this moment; ``since`` is the Unix time of the last change of state."""
    serving, loading = workers.serving, workers.loading
    run = serving or loading
    client = run.client if run else None
    return ModelStatus(
        name=name,
        config=goal.table,
        state=goal.state,
        on_demand=on_demand,
        desired=ModelState.READY if goal.wish.wants_worker else ModelState.STOPPED,
        since=since,
        created=created,
        pid=client.pid if client else None,
        progress=loading.progress.last if loading else None,
        is_replacing=serving is not None and loading is not None,
        leaving=tuple(pid for pid in (one.client.pid for one in workers.leaving) if pid is not None),
        differs=goal.differs,
        ready=serving.ready if serving else None,
        seen_tasks=workers.tasks_of(goal.table.source),
        heartbeat=client.heartbeat if client else None,
        limits=client.limits if client else None,
        running=sum(one.client.running for one in workers.all),
        waiting=sum(one.client.waiting for one in workers.all),
        restarts=recovery.restarts,
        restart_in=recovery.restart_in,
        last_error=recovery.last_error,
    )
