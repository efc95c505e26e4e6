"""Two models of which memory holds one, and requests that have them."""

import asyncio

from mlxd.control.memory.waiting_bounds import WaitingBounds
from tests.support.patience import PATIENCE
from tests.unit.control.model.supervisor.rig import asked


async def loads(factory, size=60):
    client = await factory.next()
    needing = asyncio.create_task(client.need(size))
    return client, needing


async def serve(supervisor, factory):
    """A request loads it."""
    asking = asyncio.create_task(asked(supervisor))
    client, needing = await loads(factory)
    await asyncio.wait_for(needing, PATIENCE)
    client.become_ready()
    await asyncio.wait_for(asking, PATIENCE)
    return client


class Use:
    """A request that has a model, until it is let end."""

    def __init__(self, supervisor):
        self._supervisor = supervisor
        self.begun, self._may_end = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._hold())

    async def _hold(self):
        async with self._supervisor.hold():
            self.begun.set()
            await self._may_end.wait()

    async def begin(self):
        await asyncio.wait_for(self.begun.wait(), PATIENCE)
        return self

    async def end(self):
        self._may_end.set()
        await asyncio.wait_for(self._task, PATIENCE)


async def turns(count=20):
    """Lets everybody do what can be done without waiting."""
    for _ in range(count):
        await asyncio.sleep(0)


def pair(make, residence, turn="1h", *, limit=100):
    make.limit = limit
    lazy = {"load": "lazy", "residence": residence, "turn": turn}
    one, two = make("one", lifecycle=lazy), make("two", lifecycle=lazy)
    make.memory.set_waiting(WaitingBounds(patience=7200.0))
    return one, two


async def waiting(make, factory, **bounds):
    """A model that is in use, and a request for another, which waits."""
    one, two = pair(make, "0s")
    make.memory.set_waiting(WaitingBounds(**{"patience": 7200.0} | bounds))
    await serve(one, factory)
    use = await Use(one).begin()
    asking = asyncio.create_task(asked(two))
    client, needing = await loads(factory)
    await turns()
    return one, two, use, asking, client, needing


async def overdue(make, factory):
    """A model that is in use beyond its turn, and another that nobody asks for yet."""
    one, two = pair(make, "0s", "1ms")
    await serve(one, factory)
    use = await Use(one).begin()
    await asyncio.sleep(0.002)
    return one, two, use
