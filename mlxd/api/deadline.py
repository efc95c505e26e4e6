"""``Deadline``: the point in time at which a request must be over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mlxd.config.units import format_duration
from mlxd.errors import DeadlineError


class Deadline:
    """Starts when it is made; ``timeout`` in seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._at = asyncio.get_running_loop().time() + timeout

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Raises ``DeadlineError`` at the deadline, wherever the block is then. May be used for several blocks."""
        timer = asyncio.timeout_at(self._at)
        try:
            async with timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            limit = format_duration(self._timeout)
            raise DeadlineError(f"the request took longer than {limit} (server.request_timeout) and was stopped") from None
