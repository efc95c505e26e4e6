"""A program on a terminal of its own."""

import asyncio
import os
import pty
import re
import termios

from tests.support.forked import python_m
from tests.support.patience import PATIENCE

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TERMINAL_VARIABLES = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


class Terminal:
    """``python -m mlxd`` on a terminal of 30 lines and 100 columns."""

    def __init__(self, *arguments, **environment):
        self._own, self._theirs = pty.openpty()  # theirs stays open here, so that its mode can be looked at
        self.resize(30, 100)
        inherited = {key: value for key, value in os.environ.items() if key not in _TERMINAL_VARIABLES}
        env = inherited | {"TERM": "xterm-256color"} | environment
        self.process = python_m("mlxd", *arguments, stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, env=env)
        self.raw = ""

    def resize(self, lines, columns):
        """The program is not told; see ``SIGWINCH``."""
        termios.tcsetwinsize(self._theirs, (lines, columns))

    def type(self, text):
        """As a person would."""
        os.write(self._own, text.encode())

    @property
    def is_raw(self):
        """Keys come one by one, and are not echoed."""
        return not termios.tcgetattr(self._theirs)[3] & (termios.ICANON | termios.ECHO)

    @property
    def interrupts(self):
        """Ctrl-C is the signal INT."""
        return bool(termios.tcgetattr(self._theirs)[3] & termios.ISIG)

    async def until(self, text):
        """Read until ``text`` is drawn, beyond what was drawn before."""
        seen = ""
        async with asyncio.timeout(PATIENCE):
            while text not in CONTROL.sub("", seen):
                seen += await self._read()

    async def end(self):
        """Read to the end; the exit code."""
        ended = asyncio.create_task(asyncio.to_thread(self.process.wait, 30))
        ended.add_done_callback(lambda _: os.write(self._theirs, b"\0"))  # wakes the reader below
        while not ended.done() or not self.raw.endswith("\0"):
            await self._read()
        self.raw = self.raw.removesuffix("\0")
        return await ended

    def close(self):
        """However the test ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)
        os.close(self._theirs)

    async def _read(self):
        data = (await asyncio.to_thread(os.read, self._own, 65536)).decode(errors="replace")
        self.raw += data
        return data
