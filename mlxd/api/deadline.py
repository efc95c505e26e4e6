"""``Deadline``: the point in time at which a request must be over, or somebody says that it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mlxd.config.units import format_duration
from mlxd.errors import DeadlineError, MlxdError


class Deadline:
    """A deadline that begins to run when it is made; ``timeout`` is in seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._at = asyncio.get_running_loop().time() + timeout
        self._timer: asyncio.Timeout | None = None
        self._error: MlxdError | None = None

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Raises ``DeadlineError`` at the deadline, wherever the block is then. May be used for several blocks, one after the other."""
        self._timer = timer = asyncio.timeout_at(self._at)
        try:
            async with timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            limit = format_duration(self._timeout)
            too_long = DeadlineError(f"the request took longer than {limit} (server.request_timeout) and was stopped")
            raise self._error or too_long from None
        finally:
            self._timer = None

    def stop(self, error: MlxdError) -> None:
        """Ends the request now, and ``error`` is why."""
        if self._error is None:
            self._error = error
            self._at = asyncio.get_running_loop().time()
            if self._timer is not None and not self._timer.expired():
                self._timer.reschedule(self._at)
