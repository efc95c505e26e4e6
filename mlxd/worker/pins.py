"""The pins of a worker on its I/O thread: texts become tokens elsewhere, one set behind the other."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

from mlxd.cache_terms import PinnedPrompt
from mlxd.worker.engine.pin_order import PinOrder

Orders = Callable[[Sequence[PinnedPrompt]], tuple[PinOrder, ...]]
Then = Callable[[Sequence[PinOrder]], None]


class Pins:
    """What is to stay in the cache: ``orders`` encodes it, in ``thread``, which does one thing after the other."""

    def __init__(self, orders: Orders, thread: Executor) -> None:
        self._encode = orders
        self._thread = thread
        self._known: tuple[PinnedPrompt, ...] = ()
        self._orders: tuple[PinOrder, ...] = ()
        self._under_way = 0

    def begin(self, pins: tuple[PinnedPrompt, ...]) -> Sequence[PinOrder]:
        """Returns what is to stay from the beginning; nobody asks for anything yet."""
        self._known, self._orders = pins, self._encode(pins)
        return self._orders

    def encode(self, pins: tuple[PinnedPrompt, ...], then: Then) -> None:
        """Calls ``then`` with the orders, on this thread and in the order of the calls: at once where they are known."""
        if pins == self._known and not self._under_way:
            then(self._orders)
            return
        self._under_way += 1
        loop = asyncio.get_running_loop()
        encoding = self._thread.submit(self._encode, pins)
        encoding.add_done_callback(lambda done: None if done.cancelled() else loop.call_soon_threadsafe(self._take, pins, done, then))

    def _take(self, pins: tuple[PinnedPrompt, ...], done: Future[tuple[PinOrder, ...]], then: Then) -> None:
        self._under_way -= 1
        self._known, self._orders = pins, done.result()
        then(self._orders)
