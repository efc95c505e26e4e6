"""What tests of a shared worker do to it between them."""

import contextlib
import time

import pytest

from mlxd.types import Limits
from mlxd.wire.messages import CacheEvicted, EvictCache, Heartbeat, Reconfigure, Reconfigured
from mlxd.worker.runtime.choose import choose_runner
from tests.worker.worker_link import LIMITS, MODES, in_thread

BEAT = 0.01  # seconds: every test waits for two of them
STEP = 0.005  # seconds that a slow device takes for a step


@contextlib.asynccontextmanager
async def loaded(model, mode):
    async with in_thread() as link:
        await link.load(model, heartbeat_interval=BEAT, **MODES[mode])
        yield link


@contextlib.contextmanager
def slow_steps():
    """Models that are loaded meanwhile compute as on a device that takes its time, and none of this processor's."""

    def slowly(*order):
        choice = choose_runner(*order)
        step = choice.runner.step
        choice.runner.step = lambda: (time.sleep(STEP), step())[1]
        return choice

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlxd.worker.runtime.start.choose_runner", slowly)
        yield


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
