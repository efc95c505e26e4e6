"""A file, a reloader, and a host whose every step the test decides."""

import asyncio
from contextlib import contextmanager

from mlxd.config.loader import load_config
from mlxd.control.planner import Room
from mlxd.control.reload import Reloader, Standing, Trigger
from tests.support.patience import PATIENCE

ONE = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'
QUEUE = ONE + "[models.tiny.batching]\nmax_queue = {}\n"
TWO = ONE + '[models.other]\nsource = "org/other"\n'
SYNTAX = "[models.tiny\n"


class Host:
    """``steps`` has what it was told. ``may_prepare`` and ``may_settle`` hold it up; ``refusal`` and ``failed`` make it fail."""

    def __init__(self, running):
        self.running = running
        self.steps = []
        self.under_way = False
        self.refusal = None
        self.failed = {}
        self.waited = []
        self.on_their_way = set()
        self.preparing = asyncio.Event()
        self.may_prepare = asyncio.Event()
        self.may_prepare.set()
        self.settling = asyncio.Event()
        self.may_settle = asyncio.Event()
        self.may_settle.set()

    def room(self):
        return Room(limit=1000, reserved={"tiny": 1})

    async def prepare(self, new, plan):
        self.steps.append("prepare")
        self.preparing.set()
        await self.may_prepare.wait()
        if self.refusal is not None:
            raise self.refusal
        return new, plan

    def commit(self, new, prepared):
        assert prepared[0] is new
        assert self.under_way
        self.steps.append("commit")
        self.running = new

    def standing(self, model):
        return Standing(is_settled=self.may_settle.is_set() and model not in self.on_their_way, trouble=self.failed.get(model))

    async def wait_settled(self, models):
        assert not self.under_way  # the service manager hears that the configuration is in force, however long models take
        self.steps.append("settle")
        self.waited.append(set(models))
        self.settling.set()
        await self.may_settle.wait()
        return {name: reason for name, reason in self.failed.items() if name in models}

    @contextmanager
    def reloading(self):
        self.under_way = True
        yield
        self.under_way = False


class Rig:
    """A file, the host that runs it, and a reloader."""

    def __init__(self, path):
        self.path = path
        self.save(ONE)
        self.host = Host(load_config(path))
        self.told = []
        self._news = asyncio.Event()
        self.reloader = Reloader(self.host, told=self._tell, under_way=self.host.reloading, environ={})

    def save(self, text):
        self.path.write_text(text)

    def _tell(self, trigger, outcome):
        self.told.append((trigger, outcome.result))
        self._news.set()

    async def reload(self, text=None, **options):
        if text is not None:
            self.save(text)
        async with asyncio.timeout(PATIENCE):
            return await self.reloader.reload(Trigger.API, **options)

    async def until_told(self, count):
        async with asyncio.timeout(PATIENCE):
            while len(self.told) < count:
                self._news.clear()
                await self._news.wait()

    async def hold_prepare(self, text):
        """A reload of ``text`` that has begun, and stands still."""
        self.host.may_prepare.clear()
        self.save(text)
        begun = asyncio.create_task(self.reload())
        await asyncio.wait_for(self.host.preparing.wait(), PATIENCE)
        return begun

    async def hold_settle(self, text):
        """A reload of ``text`` that is taken over, and whose models are on their way."""
        self.host.may_settle.clear()
        self.host.settling.clear()
        self.save(text)
        begun = asyncio.create_task(self.reload())
        await asyncio.wait_for(self.host.settling.wait(), PATIENCE)
        return begun

    @property
    def sources(self):
        return {name: model.source for name, model in self.host.running.config.models.items()}

    @property
    def max_queue(self):
        return self.host.running.config.models["tiny"].batching.max_queue
