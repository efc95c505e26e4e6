"""How long steps usually take, to tell when the device will be done with one."""

from time import monotonic

from mlxd.worker.engine.plan import StepPlan

_NEWEST = 0.2  # weight of the newest step
_MOST_WAITED = 0.05  # of a step that says something of the device
_DOUBT = 0.9  # for each one that does not: what is thought too long would never be found out, for it is waited for


class StepPace:
    """The pace of a device that computes one step after the other; steps with prompts have their own. Times are monotonic."""

    def __init__(self) -> None:
        self._usual: dict[bool, float] = {}
        self._last = 0.0  # when a result was read

    def read(self, plan: StepPlan, launched: float, waited: float) -> None:
        """Notes that the result of a step is read that was ``launched`` then, and for whose masks the device ``waited`` so many seconds."""
        now = monotonic()
        took, kind = now - max(launched, self._last), bool(plan.prefill_tokens)
        usual = self._usual.setdefault(kind, took) if plan.chunks else 0.0
        if plan.chunks:
            self._usual[kind] = usual + _NEWEST * (took - usual) if waited < _MOST_WAITED * took else _DOUBT * min(usual, took)
        self._last = now

    def usual(self, plan: StepPlan) -> float:
        """Returns the seconds that a step like this takes; 0 where none is known."""
        return self._usual.get(bool(plan.prefill_tokens), 0.0)

    def done(self, plan: StepPlan, launched: float) -> float:
        """Returns when the device is done with a step that was launched then."""
        return max(launched, self._last) + self.usual(plan) if plan.chunks else 0.0
