"""What a worker's process writes to its standard output and error: forwarded line by line, the end remembered."""

import asyncio
import codecs
import re
from collections import deque
from collections.abc import Callable

LINE_LIMIT = 2000  # characters of one line that are kept
LINES_KEPT = 40  # the last ones, for the error's detail
LINES_SHOWN = 5
FORWARD_LIMIT = 200  # lines forwarded in one FORWARD_WINDOW; a worker that floods must not flood the log
FORWARD_WINDOW = 10.0  # seconds

_BREAK = re.compile(r"\r\n|\r|\n")  # progress bars end their lines with \r
_THREAD_DUMP = re.compile(r"(Current thread|Thread) 0x")  # faulthandler's; the message stands before it


class WorkerOutput:
    """A reader of lines. It is fed bytes with the time at which they came, in seconds, and calls ``forward`` for each line that is not
    blank.
    """

    def __init__(self, forward: Callable[[str], None]) -> None:
        self._forward = forward
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._partial = ""
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._window_began = float("-inf")
        self._forwarded = 0  # in this window
        self._withheld = 0

    async def read_from(self, reader: asyncio.StreamReader) -> None:
        """Reads until end of file."""
        clock = asyncio.get_running_loop().time
        while data := await reader.read(65536):
            self.feed(data, clock())
        self.finish(clock())

    def feed(self, data: bytes, now: float) -> None:
        """Takes in more bytes; lines and characters may straddle them."""
        *complete, partial = _BREAK.split(self._partial + self._decode(data))
        for line in complete:
            self._take(line, now)
        self._partial = partial[:LINE_LIMIT]

    def finish(self, now: float) -> None:
        """Takes in that the end has come: what is left is a line too."""
        self._take(self._partial, now)
        self._partial = ""
        self._report_withheld()

    @property
    def last_words(self) -> str:
        """Returns the last lines, for a person who asks why the worker died; empty when it said nothing.

        The frames of a traceback are left to the log.
        """
        lines = list(self._lines)
        dump = next((at for at, line in enumerate(lines) if _THREAD_DUMP.match(line)), len(lines))
        spoken = [line for line in lines[:dump] if not line.startswith((" ", "Traceback "))]
        return " | ".join(spoken[-LINES_SHOWN:])

    def _take(self, line: str, now: float) -> None:
        line = line.rstrip()[:LINE_LIMIT]
        if not line:
            return
        self._lines.append(line)
        if now - self._window_began >= FORWARD_WINDOW:
            self._report_withheld()
            self._window_began, self._forwarded = now, 0
        if self._forwarded >= FORWARD_LIMIT:
            self._withheld += 1
            return
        self._forwarded += 1
        self._forward(line)

    def _report_withheld(self) -> None:
        if self._withheld:
            self._forward(f"({self._withheld} more lines were withheld)")
            self._withheld = 0
