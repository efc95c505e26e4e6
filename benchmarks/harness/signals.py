"""Being interrupted: the first signal ends a benchmark in order, further ones wait until its servers are gone."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator
from typing import TypeVar

T = TypeVar("T")


def interrupt_on_signals() -> None:
    """TERM and a closed terminal do what Ctrl-C does, and Ctrl-C does it also where a shell had it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGINT))


async def cancelled_once(work: Coroutine[None, None, T]) -> T:
    """Ctrl-C cancels ``work``, and does nothing more while that cleans up."""
    task = asyncio.ensure_future(work)
    signalled = asyncio.Event()

    def cancel() -> None:
        if not signalled.is_set():
            signalled.set()
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, cancel)
    return await task


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """For what blocks and has to be done whatever happens."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
