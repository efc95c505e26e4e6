"""Whether the daemon does its work: a last look at those who look after the workers. Pure; no clock."""

from collections.abc import Iterable
from dataclasses import dataclass

from mlxd.client.hang_watch import LOADING_SILENCE, longest_step
from mlxd.control.model.status import ModelStatus
from mlxd.wire.messages import Heartbeat

# ``HangWatch`` acts within a second of its time. After twice that time nobody acts at all.
_ALLOWANCE = 2.0


@dataclass(frozen=True)
class _Seen:
    """A worker that was seen before, with the seconds since its process last showed progress."""

    pid: int
    heartbeat: Heartbeat | None
    stalled: float = 0.0


class Oversight:
    """The oversight is told regularly, by ``observe``, how the models are.

    A worker that hangs is killed and replaced by its supervisor; that is the daemon at work. What it must not do is hang unnoticed. One
    that cannot be killed counts as dealt with: it serves no more, and to restart the daemon would end the other models with it.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def observe(self, models: Iterable[ModelStatus], seconds: float) -> list[str]:
        """Takes in that ``seconds`` passed. Returns the names of models whose worker hangs while nobody has done anything about it."""
        before, self._seen = self._seen, {}
        neglected: list[str] = []
        for model in models:
            if model.pid is None:
                continue
            now = self._seen[model.name] = _seen_now(model, model.pid, before.get(model.name), seconds)
            planned = model.heartbeat.planned_seconds if model.heartbeat is not None else 0.0
            if now.stalled > _ALLOWANCE * max(longest_step(model.config.worker.hang_timeout, planned), LOADING_SILENCE):
                neglected.append(model.name)
        return neglected


def _seen_now(model: ModelStatus, pid: int, before: _Seen | None, seconds: float) -> _Seen:
    heartbeat = model.heartbeat
    if before is None or before.pid != pid:
        return _Seen(pid, heartbeat)
    is_alive = heartbeat is not before.heartbeat
    in_one_step = (
        model.ready is not None
        and heartbeat is not None
        and before.heartbeat is not None
        and heartbeat.busy_seconds > 0
        and heartbeat.steps == before.heartbeat.steps
    )
    return _Seen(pid, heartbeat, 0.0 if is_alive and not in_one_step else before.stalled + seconds)
