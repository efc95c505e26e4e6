"""All configured models: what requests and operators ask, and what starts and stops with the daemon.

Only configured models are ever loaded: a name nobody configured is an error, whatever a client sends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from mlxd.client.worker_client import WorkerClient
from mlxd.config.schema import ModelTable
from mlxd.control.memory.giving_way import ExchangeTelemetry
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.model.status import ModelStatus
from mlxd.control.model.supervisor import ModelSupervisor
from mlxd.control.model.workers import WorkerFactory
from mlxd.control.model_names import Asked, ModelNames
from mlxd.control.reload import Standing
from mlxd.control.telemetry import Telemetry
from mlxd.errors import ModelNotFoundError, ShuttingDownError, UnavailableError, excerpt
from mlxd.wire.messages import CacheEvicted, Ready

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReadyModel:
    """A model that can be asked now."""

    name: str  # the configured id
    adapter: str  # the name of the one it is to answer with; empty: the model as it is
    config: ModelTable
    ready: Ready
    client: WorkerClient


class Registry:
    """One supervisor per model, and the names clients may use for them. ``drain_timeout`` is that of each ``ModelSupervisor``, and
    ``exchange`` hears of models that give way to each other.
    """

    def __init__(
        self,
        *,
        worker_factory: WorkerFactory,
        telemetry: Telemetry,
        ledger: Ledger,
        drain_timeout: Callable[[], float],
        exchange: ExchangeTelemetry | None = None,
    ) -> None:
        self.memory = ModelMemory(ledger, self._all, telemetry=exchange)
        self._worker_factory = worker_factory
        self._telemetry = telemetry
        self._drain_timeout = drain_timeout
        self._supervisors: dict[str, ModelSupervisor] = {}
        self._removed: dict[str, ModelSupervisor] = {}  # from the configuration; their workers drain
        self._names = ModelNames.of({})
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- the configuration ----

    def apply(self, models: Mapping[str, ModelTable]) -> None:
        """Takes over these models, at once; each then becomes what it is to be by itself. Untouched ones do not notice. Where anything
        raises, what ``restorer`` gave before puts all back.
        """
        new = {name: self._new(name, table) for name, table in models.items() if name not in self._supervisors | self._removed}
        for name in self._supervisors.keys() - models.keys():
            self._remove(name)
        known = new | self._removed | self._supervisors
        self._supervisors = {name: known[name] for name in models}
        self._names = ModelNames.of(models)
        for name, table in models.items():
            self._tell(self._supervisors[name], table, is_new=name in new or name in self._removed)

    def restorer(self) -> Callable[[], None]:
        """Returns a function that makes the models, and what is wanted of them, what they are now."""
        supervisors, removed, names = dict(self._supervisors), dict(self._removed), self._names
        orders = [(one, one.order) for one in self._all()]

        def restore() -> None:
            made = [one for one in self._all() if one not in (*supervisors.values(), *removed.values())]
            self._supervisors, self._removed, self._names = dict(supervisors), dict(removed), names
            for one, order in orders:
                one.put_back(order)
            for one in made:
                self._spawn(one.stop())

        return restore

    def _tell(self, supervisor: ModelSupervisor, table: ModelTable, *, is_new: bool) -> None:
        self._removed.pop(supervisor.name, None)
        supervisor.apply(table)
        if is_new and table.lifecycle.load == "eager":
            supervisor.want()

    def _new(self, name: str, table: ModelTable) -> ModelSupervisor:
        return ModelSupervisor(
            name,
            table,
            worker_factory=self._worker_factory,
            telemetry=self._telemetry,
            memory=self.memory,
            drain_timeout=self._drain_timeout,
        )

    def _remove(self, name: str) -> None:
        supervisor = self._removed[name] = self._supervisors[name]
        supervisor.unload()
        self._spawn(self._forget(name, supervisor))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget(self, name: str, supervisor: ModelSupervisor) -> None:
        await supervisor.wait_gone()
        if self._removed.get(name) is supervisor:
            del self._removed[name]
            await supervisor.stop()

    async def wait_settled(self, names: Collection[str]) -> dict[str, str]:
        """Waits until each is what it is to be, or it is known why not, or, removed, it is gone; returns those that cannot be, with the
        reason.
        """
        reasons = await asyncio.gather(*(self._wait_settled(name) for name in names))
        return {name: reason for name, reason in zip(names, reasons, strict=True) if reason is not None}

    async def _wait_settled(self, name: str) -> str | None:
        if name in self._supervisors:
            return await self._supervisors[name].wait_settled()
        if name in self._removed:
            await self._removed[name].wait_gone()
        return None

    def standing(self, name: str) -> Standing:
        """Returns how far a model is; one that is not configured any more is what it is to be."""
        supervisor = self._supervisors.get(name)
        return Standing() if supervisor is None else Standing(supervisor.is_settled, supervisor.trouble)

    # ---- what is asked ----

    def resolve(self, name: str) -> Asked:
        """Returns the model that a client means, and its adapter: by a name, an alias, or a name that matches a pattern. Raises
        ``ModelNotFoundError``.
        """
        return self._known(self._names.asked(name), name)

    def identify(self, name: str) -> str:
        """Returns the id of the model that an operator means, by its name or an alias of its own: a slip must not stop the model that
        answers for every name. Raises ``ModelNotFoundError``.
        """
        asked = self._known(self._names.exact.get(name), name)
        if asked.adapter:
            message = f'"{excerpt(name)}" is an adapter: name its model, "{asked.model}", and the adapter beside it'
            raise ModelNotFoundError(message, param="model")
        return asked.model

    def _known(self, asked: Asked | None, name: str) -> Asked:
        if asked is None:
            known = ", ".join(self._names.all) or "none"
            raise ModelNotFoundError(f'no model "{excerpt(name)}" is configured here; there are: {known}', param="model")
        return asked

    def statuses(self) -> list[ModelStatus]:
        """Returns the status of all models, in the file's order; then of those that are being removed."""
        return [supervisor.status() for supervisor in self._all()]

    def status(self, name: str) -> ModelStatus:
        """Returns the status of one model, by name or alias. Raises ``ModelNotFoundError``."""
        return self.supervisor(name).status()

    def supervisor(self, name: str) -> ModelSupervisor:
        """Returns the supervisor of one model, by name or alias. Raises ``ModelNotFoundError``."""
        return self._supervisors[self.identify(name)]

    @contextlib.asynccontextmanager
    async def hold(self, asked: Asked) -> AsyncIterator[ReadyModel]:
        """Has a model that can be asked, for as long as the block lasts: it is loaded for the asking if it is not, and stays. Raises
        ``ModelNotFoundError``, ``ModelLoadingError``, ``ModelFailedError``, ``InsufficientMemoryError`` or ``ShuttingDownError``.
        """
        supervisor = self.supervisor(asked.model)
        if self._draining:
            raise ShuttingDownError("the daemon is stopping; try again when it is back", retry_after=5.0)
        async with contextlib.AsyncExitStack() as held:
            try:
                run = await held.enter_async_context(supervisor.hold())
            except UnavailableError:
                self.identify(asked.model)  # it may have been removed meanwhile
                raise
            assert run.ready is not None  # noqa: S101 - it serves
            yield ReadyModel(supervisor.name, asked.adapter, supervisor.config, run.ready, run.client)

    async def evict_cache(self, name: str) -> CacheEvicted:
        """Drops what the model's cache keeps for later requests. Raises as ``ModelSupervisor.require_ready``."""
        supervisor = self.supervisor(name)
        evicted = await supervisor.require_ready().client.evict_cache()
        self._telemetry.cache_evicted(supervisor.name, evicted.entries)
        return evicted

    async def load_adapter(self, name: str, adapter: str) -> None:
        """Loads an adapter of a model. Raises as ``ModelSupervisor.require_ready`` and ``WorkerClient.load_adapter``."""
        await self.supervisor(name).require_ready().client.load_adapter(adapter)
        _log.info("adapter_loaded", model=self.identify(name), adapter=adapter)

    async def unload_adapter(self, name: str, adapter: str) -> None:
        """Unloads an adapter of a model, once no request has it any more. Raises as ``load_adapter``."""
        await self.supervisor(name).require_ready().client.unload_adapter(adapter)
        _log.info("adapter_unloaded", model=self.identify(name), adapter=adapter)

    def load(self, name: str) -> None:
        """Makes the model ready, and keeps it so."""
        self.supervisor(name).want()

    def unload(self, name: str) -> None:
        """Ends the model's worker; the next request loads it again."""
        self.supervisor(name).unload()

    def drain(self, name: str) -> None:
        """Takes the model out of service until it is loaded again."""
        self.supervisor(name).drain()

    def restart(self, name: str) -> None:
        """Gives the model a new worker in the place of the one there is."""
        self.supervisor(name).restart()

    async def wait_model_settled(self, name: str) -> str | None:
        """Waits until one model is what is wanted of it; returns why not, where it cannot be."""
        return await self.supervisor(name).wait_settled()

    # ---- the end ----

    async def finish(self, timeout: float) -> bool:  # noqa: ASYNC109 - running out of time is an answer here, not an error
        """Refuses new requests and lets those that run finish; False if some still ran after ``timeout`` seconds."""
        self._draining = True
        for supervisor in self._all():
            supervisor.finish()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(supervisor.wait_idle() for supervisor in self._all()))
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        await asyncio.gather(*(supervisor.stop() for supervisor in self._all()))
        for task in self._tasks:
            task.cancel()

    def _all(self) -> list[ModelSupervisor]:
        return [*self._supervisors.values(), *self._removed.values()]
