"""How many prompt tokens a step may take beside the streams that run. Pure: observed steps in, budget out.

A step's cost is taken as ``base + per_token * prefill tokens``, where ``base`` is what the decode rows alone cost. Both are
moving averages of what was observed, so the budget follows the machine, the model and the length of contexts.
"""

from mlxd.types import Limits

MINIMUM = 8  # tokens: a prompt always goes on, however slow the machine
_SMOOTHING = 0.2
_FIRST_PER_TOKEN = 0.005  # seconds, before anything was observed: small first chunks, that grow


class StepBudget:
    """``largest`` is the chunk size that is efficient when nobody is disturbed."""

    def __init__(self, *, largest: int) -> None:
        self.largest = largest
        self._base: float | None = None  # seconds
        self._per_token = _FIRST_PER_TOKEN

    def observe(self, *, seconds: float, prefill_tokens: int, decode_rows: int) -> None:
        """One finished step."""
        if not prefill_tokens:
            self._base = seconds if self._base is None else self._base + _SMOOTHING * (seconds - self._base)
            return
        base = (self._base or 0.0) if decode_rows else 0.0
        cost = max(seconds - base, 1e-6) / prefill_tokens
        self._per_token += _SMOOTHING * (cost - self._per_token)

    def prefill_tokens(self, limits: Limits, *, decode_rows: int) -> int:
        """Prompt tokens for the next step, beside ``decode_rows`` streams that run. Of a fixed budget a small share is always for
        prompts, so that many streams cannot starve them.
        """
        if limits.step_tokens is not None:
            return max(1, limits.step_tokens // 8, limits.step_tokens - decode_rows)
        if not decode_rows:
            return self.largest
        left = limits.target_itl - (self._base or 0.0)
        return max(MINIMUM, min(self.largest, int(left / self._per_token)))
