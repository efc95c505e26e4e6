"""The adapters of the engine's thread, as the I/O thread asks for them."""

import asyncio
from concurrent.futures import Executor
from functools import partial
from typing import Any

from mlxd.errors import AdapterSourceError, MlxdError
from mlxd.worker.engine.adapters.store import AdapterCounts, AdapterOrders, AdapterStore, Arrive, HeldFigures
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.facts.adapters.fit import FittedAdapter
from mlxd.worker.facts.adapters.tensor_values import LayerValues
from mlxd.worker.outbox import Outbox


class EngineAdapters:
    """What is asked of a ``store`` crosses to the engine's thread by the ``queue``, and what is answered comes back by the ``outbox``.
    Values are read in ``threads``, which are its own.
    """

    def __init__(self, store: AdapterStore, queue: RequestQueue[Any], outbox: Outbox, threads: Executor) -> None:
        self._store = store
        self._queue = queue
        self._outbox = outbox
        self._threads = threads
        store.read = self._read

    def follow(self, orders: AdapterOrders) -> None:
        """Makes orders hold from the next step on."""
        self._queue.call(lambda: self._store.follow(orders))

    async def load(self, adapter: FittedAdapter) -> None:
        """Loads an adapter, and returns when it is. Raises a ``MlxdError`` for what is wrong with it."""
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(error: MlxdError | None) -> None:
            self._outbox.on_io_thread(partial(_settle, loaded, error))

        self._queue.call(lambda: self._store.load(adapter, then))
        await loaded

    async def unload(self, identity: str) -> None:
        """Lets an adapter go once no request has it, and returns when that is at once, or known to be later."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def unload() -> None:
            self._store.unload(identity)
            self._outbox.on_io_thread(partial(_settle, done, None))

        self._queue.call(unload)
        await done

    def figures(self) -> dict[str, HeldFigures]:
        """Returns what is to be told of those that are held, by their identities."""
        return self._store.figures()

    def counts_of(self, adapter: FittedAdapter) -> AdapterCounts:
        """Returns how often an adapter was loaded, and let go to make room for others."""
        return self._store.counts_of(adapter)

    def bytes_of(self, adapter: FittedAdapter) -> int:
        """Returns the bytes that an adapter takes."""
        return self._store.bytes_of(adapter)

    def close(self) -> None:
        """Reads nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---- on the engine thread, and in threads of their own ----

    def _read(self, adapter: FittedAdapter, arrive: Arrive) -> None:
        try:
            self._threads.submit(self._values, adapter, arrive)
        except RuntimeError:  # it is closed: nobody waits
            return

    def _values(self, adapter: FittedAdapter, arrive: Arrive) -> None:
        found: list[LayerValues] | MlxdError
        try:
            found = list(adapter.examined.values())
        except MlxdError as error:
            found = error
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            found = AdapterSourceError(f"{adapter.examined.facts.file} cannot be read: {type(error).__name__}: {error}")
        self._queue.call(lambda: arrive(found))


def _settle(future: asyncio.Future[None], error: MlxdError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
