"""How a test brings one model to where it wants it."""

import asyncio

from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach

QUICK = {"restart_backoff": "1ms", "restart_backoff_max": "2ms", "crash_limit": 3}
SLOW = {"restart_backoff": "1h", "restart_backoff_max": "1h"}


async def ready(supervisor, factory):
    supervisor.want()
    client = await factory.next()
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    return client


async def in_back_off(supervisor, factory):
    (await ready(supervisor, factory)).end("crash")
    async with asyncio.timeout(PATIENCE):
        while supervisor.status().restart_in is None:
            await supervisor.wait_changed()


async def settled(supervisor):
    return await asyncio.wait_for(supervisor.wait_settled(), PATIENCE)


async def probed(client):
    """Become ready and pass the probe."""
    client.become_ready()
    client.answer(await client.request())


async def asked(supervisor):
    """Ask for the worker that serves, and let it go again."""
    async with supervisor.hold() as run:
        return run
