"""A registry whose models are ready when the test says so."""

import asyncio


class HeldRegistry:
    """Holds up whoever asks for the model, until the test lets them go on."""

    def __init__(self, registry):
        self.asked = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.given_up = asyncio.Event()
        self._ensure_ready = registry.ensure_ready
        registry.ensure_ready = self.ensure_ready

    async def ensure_ready(self, name):
        self.asked.set()
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return await self._ensure_ready(name)
