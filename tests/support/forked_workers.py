"""In a daemon of tests: its workers are forked by a nursery of its own, instead of beginning as Pythons do, which takes most of a second.

All else is as ``ProcessHost`` has it: session, streams, socket, environment, and how it hears of the end.
"""

import asyncio
import os
from pathlib import Path

from mlxd import child_process
from mlxd.client.process import ProcessHost
from tests.support.wishes import Wish, fork


class ForkedWorker:
    """What ``ProcessHost`` uses of an ``asyncio.subprocess.Process``."""

    def __init__(self, pid, told):
        self.pid = pid
        self.returncode = None
        self._told = told
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(told, self._hear)

    async def wait(self):
        await self._ended.wait()
        return self.returncode

    def _hear(self):
        asyncio.get_running_loop().remove_reader(self._told)
        with os.fdopen(self._told) as pipe:
            self.returncode = int(pipe.read())
        self._ended.set()


def install(nursery):
    """``nursery``: the socket on which it takes wishes."""

    async def spawn(host, sock, output):
        return begin(nursery, host, sock, output)

    ProcessHost._spawn = spawn


def begin(nursery, host, sock, output):
    wish = Wish(program(host._command), child_process.environment(os.environ, host._source), leads=True)
    with Path(os.devnull).open("rb") as nothing:
        return ForkedWorker(*fork(nursery, wish, [nothing.fileno(), output, output], passed=[sock]))


def program(command):
    """The arguments of a command that runs Python, the module or the file first."""
    _, *arguments = command
    while arguments[0] in ("-P", "-m"):
        arguments = arguments[1:]
    return arguments
