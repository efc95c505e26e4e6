"""In a daemon of tests: its workers are forked by a nursery of its own, instead of beginning as Pythons do, which takes most of a second.

All else is as ``ProcessHost`` has it: session, streams, socket, environment, and how it hears of the end.
"""

import asyncio
import os
from pathlib import Path

from mlxd import child_process
from mlxd.client.process import ProcessHost
from tests.support.wishes import Wish, wish_for


class ForkedWorker:
    """What ``ProcessHost`` uses of an ``asyncio.subprocess.Process``. ``told``: see ``wishes``."""

    def __init__(self, told):
        self.pid = None
        self.returncode = None
        self._told = told
        self._heard = b""
        self._began, self._ended = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_reader(told, self._hear)

    async def begin(self):
        await self._began.wait()
        return self

    async def wait(self):
        await self._ended.wait()
        return self.returncode

    def _hear(self):
        if heard := os.read(self._told, 64):
            self._heard += heard
        else:
            asyncio.get_running_loop().remove_reader(self._told)
            os.close(self._told)
            self.returncode = int(self._heard.partition(b"\n")[2])
            self._ended.set()
        self.pid = int(self._heard.partition(b"\n")[0])
        self._began.set()


def install(nursery):
    """``nursery``: the socket on which it takes wishes."""
    ProcessHost._spawn = spawner(nursery)


def spawner(nursery):
    """What ``ProcessHost`` starts a worker by."""

    async def spawn(host, sock, output):
        return await ForkedWorker(begin(nursery, host, sock, output)).begin()

    return spawn


def begin(nursery, host, sock, output):
    wish = Wish(program(host._command), child_process.environment(os.environ, *host._sources), leads=True)
    with Path(os.devnull).open("rb") as nothing:
        return wish_for(nursery, wish, [nothing.fileno(), output, output], passed=[sock])


def program(command):
    """The arguments of a command that runs Python, the module or the file first."""
    _, *arguments = command
    while arguments[0] in ("-P", "-m"):
        arguments = arguments[1:]
    return arguments
