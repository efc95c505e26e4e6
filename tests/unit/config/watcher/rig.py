"""A watcher at work, by events alone: the poll is set so that no test lives to see it."""

import asyncio
import contextlib
import hashlib

from mlxd.config.watcher import FileWatcher
from tests.support.patience import PATIENCE

NEVER = 3600.0
FIRST = "first = 1\n"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Rig:
    """A watcher at work on ``path``. ``found`` has what the file held whenever a change was told."""

    def __init__(self, path, *, poll=NEVER, last_read=None):
        self.path = path
        self.found = []
        self.looks = 0
        self._news = asyncio.Event()
        self.watcher = FileWatcher(path, self._on_change, seen=digest(path.read_text()), last_read=last_read, poll=poll)
        look = self.watcher._look

        async def counted_look():
            changed = await look()
            self.looks += 1
            self._news.set()
            return changed

        self.watcher._look = counted_look

    def _on_change(self):
        self.found.append(self.path.read_text())
        self._news.set()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def finds(self, text):
        """Wait until the last change that was told is to ``text``, and the watch has begun anew."""
        await self.until(lambda: self.found and self.found[-1] == text)
        await self.looks_again()

    async def looks_again(self):
        """Wait until what happened by now has been looked at."""
        before = self.looks
        await self.until(lambda: self.looks > before)


@contextlib.asynccontextmanager
async def watching(path, **options):
    rig = Rig(path, **options)
    running = asyncio.create_task(rig.watcher.run())
    try:
        await rig.until(lambda: rig.looks)
        yield rig
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
