"""What a worker says, from whichever thread says it, in one stream of frames."""

import asyncio
import contextlib
from collections.abc import Callable

from mlxd.wire.framing import worker_codec
from mlxd.wire.messages import FromWorker


class Outbox:
    """An outbox is made on the I/O thread's event loop. A daemon that is gone is noticed by reading: nothing here raises for it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._codec = worker_codec()

    def send(self, message: FromWorker) -> None:
        """Writes one frame; on the I/O thread."""
        if not self._writer.is_closing():
            self._writer.write(self._codec.encode(message))

    def send_from_any_thread(self, message: FromWorker) -> None:
        """Writes one frame as ``send`` does, from anywhere."""
        self.on_io_thread(lambda: self.send(message))

    def on_io_thread(self, call: Callable[[], None]) -> None:
        """Lets the I/O thread make ``call``; may be called from anywhere, and does nothing once the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)
