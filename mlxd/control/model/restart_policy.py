"""When a worker that ended unasked is started again. Pure: times in, a decision out; no clock."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlxd.config.schema import WorkerTable


@dataclass(frozen=True)
class Wait:
    """Start again after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class GiveUp:
    """Too many crashes: only an operator's action starts it again."""

    crashes: int
    window: float  # seconds


def decide(crashes: Sequence[float], now: float, policy: WorkerTable) -> Wait | GiveUp:
    """``crashes``: times of all crashes so far, the newest included, in order; seconds of the same clock as ``now``.

    The wait doubles with each crash within ``crash_window``, up to ``restart_backoff_max``; a quiet window forgives all.
    """
    recent = [at for at in crashes if now - at < policy.crash_window]
    if len(recent) >= policy.crash_limit:
        return GiveUp(len(recent), policy.crash_window)
    doublings = min(max(len(recent) - 1, 0), 60)  # beyond, any maximum is reached and floats overflow
    return Wait(min(policy.restart_backoff * 2.0**doublings, policy.restart_backoff_max))
