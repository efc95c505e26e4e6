"""When a worker that ended unasked is started again. It is pure: times in, a wait out; no clock."""

from collections.abc import Sequence

from mlxd.config.model_tables import WorkerTable


def recent(crashes: Sequence[float], now: float, policy: WorkerTable) -> list[float]:
    """Returns the times that count still: a quiet ``crash_window`` forgives all."""
    return [at for at in crashes if now - at < policy.crash_window]


def wait_before_restart(crashes: Sequence[float], now: float, policy: WorkerTable) -> float:
    """Returns the seconds to wait. ``crashes`` are the times of all so far, the newest included, in order, of the same clock as ``now``.

    The wait doubles with each crash within ``crash_window``, up to ``restart_backoff_max``; a model that has failed waits that long.
    """
    if has_failed(crashes, now, policy):
        return policy.restart_backoff_max
    doublings = min(max(len(recent(crashes, now, policy)) - 1, 0), 60)  # beyond, any maximum is reached and floats overflow
    return min(policy.restart_backoff * 2.0**doublings, policy.restart_backoff_max)


def has_failed(crashes: Sequence[float], now: float, policy: WorkerTable) -> bool:
    """Tells whether the model counts as failed: ``crash_limit`` crashes within ``crash_window``. It is tried again all the same."""
    return len(recent(crashes, now, policy)) >= policy.crash_limit
