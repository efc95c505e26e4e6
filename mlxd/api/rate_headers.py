"""What answers say of the limits of the key they were asked by, in the words of each API.

OpenAI: https://platform.openai.com/docs/guides/rate-limits. Anthropic: https://docs.anthropic.com/en/api/rate-limits.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from mlxd.control.quotas.key_use import Allowance, Allowances

RateHeaders = Callable[[Allowances], Mapping[str, str]]


def openai_rate_headers(allowances: Allowances) -> dict[str, str]:
    """Returns ``x-ratelimit-limit-requests`` and the like; a reset is a span such as ``12s``."""
    return {
        f"x-ratelimit-{what}-{of}": value
        for of, left in _limited(allowances)
        for what, value in (("limit", str(left.limit)), ("remaining", str(left.remaining)), ("reset", f"{math.ceil(left.reset)}s"))
    }


def anthropic_rate_headers(allowances: Allowances) -> dict[str, str]:
    """Returns ``anthropic-ratelimit-requests-limit`` and the like; a reset is a time in RFC 3339."""
    now = datetime.now(UTC)
    return {
        f"anthropic-ratelimit-{of}-{what}": value
        for of, left in _limited(allowances)
        for what, value in (("limit", str(left.limit)), ("remaining", str(left.remaining)), ("reset", _time(now, left.reset)))
    }


def _limited(allowances: Allowances) -> Iterator[tuple[str, Allowance]]:
    for of, left in (("requests", allowances.requests), ("tokens", allowances.tokens)):
        if left is not None:
            yield of, left


def _time(now: datetime, after: float) -> str:
    return (now + timedelta(seconds=math.ceil(after))).isoformat(timespec="seconds").replace("+00:00", "Z")
