"""What tests of a shared worker do to it between them."""

import contextlib

from mlxd.types import Limits
from mlxd.wire.messages import CacheEvicted, EvictCache, Heartbeat, Reconfigure, Reconfigured
from tests.worker.worker_link import LIMITS, MODES, in_thread

BEAT = 0.01  # seconds: every test waits for two of them


@contextlib.asynccontextmanager
async def loaded(model, mode):
    async with in_thread() as link:
        await link.load(model, heartbeat_interval=BEAT, **MODES[mode])
        yield link


async def renewed(link):
    """The worker as it was when it had been loaded, and nothing said."""
    while not idle(await link.next(Heartbeat)):
        pass
    await reconfigure(link)
    link.send(EvictCache())
    await link.next(CacheEvicted)
    await link.next(Heartbeat)
    link.forget()
    return link


def idle(beat):
    return beat.running == beat.waiting == beat.busy_seconds == 0


def limits(**changes):
    return Limits(**(LIMITS | changes))


async def reconfigure(link, **changes):
    """Other limits; what the worker answers."""
    before = len(link.of(Reconfigured))
    link.send(Reconfigure(limits=limits(**changes)))
    await link.until(lambda: len(link.of(Reconfigured)) > before)
    return link.of(Reconfigured)[-1].limits
