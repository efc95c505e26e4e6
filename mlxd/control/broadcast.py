"""``Broadcast``: something has changed, told to whoever waits for that at this moment."""

import asyncio


class Broadcast:
    """A signal that may be given again and again; each time it wakes those who wait then."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Wakes everybody who waits."""
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self) -> None:
        """Waits for the next ``tell``."""
        await self._next.wait()
