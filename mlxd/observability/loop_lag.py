"""How late the event loop is: a timer that measures its own delay."""

import asyncio
from collections.abc import Callable


async def sample_loop_lag(observe: Callable[[float], None], *, interval: float = 0.5) -> None:
    """Calls ``observe`` with the lag in seconds, every ``interval`` seconds, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval
        await asyncio.sleep(interval)
        observe(max(0.0, loop.time() - due))
