"""All configured models: what requests ask, and what starts and stops with the daemon.

Only configured models are ever loaded: a name nobody configured is an error, whatever a client sends.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from mlxd.client.worker_client import WorkerClient
from mlxd.config.schema import LogTable, ModelTable
from mlxd.control.model_state import ModelStatus
from mlxd.control.supervisor import ModelSupervisor, WorkerFactory
from mlxd.control.telemetry import Telemetry
from mlxd.errors import ModelNotFoundError, ShuttingDownError
from mlxd.wire.messages import Ready

_SHOWN = 128  # characters of a client's text that an error repeats


@dataclass(frozen=True)
class ReadyModel:
    """A model that can be asked now."""

    name: str  # the configured id
    config: ModelTable
    ready: Ready
    client: WorkerClient


class Registry:
    """One supervisor per model, and the names clients may use for them."""

    def __init__(self, models: Mapping[str, ModelTable], log: LogTable, *, worker_factory: WorkerFactory, telemetry: Telemetry) -> None:
        self._supervisors = {
            name: ModelSupervisor(name, model, log, worker_factory=worker_factory, telemetry=telemetry) for name, model in models.items()
        }
        self._names = {alias: name for name, model in models.items() for alias in (name, *model.aliases)}
        self._draining = False

    def resolve(self, name: str) -> str:
        """The id of a name or alias. Raises ``ModelNotFoundError``."""
        try:
            return self._names[name]
        except KeyError:
            known = ", ".join(self._supervisors) or "none"
            shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
            raise ModelNotFoundError(f'no model "{shown}" is configured here; there are: {known}', param="model") from None

    def statuses(self) -> list[ModelStatus]:
        """Of all models, in the file's order."""
        return [supervisor.status() for supervisor in self._supervisors.values()]

    def status(self, name: str) -> ModelStatus:
        """Of one, by name or alias."""
        return self._supervisors[self.resolve(name)].status()

    async def ensure_ready(self, name: str) -> ReadyModel:
        """Raises ``ModelNotFoundError``, ``ModelLoadingError``, ``ModelFailedError`` or ``ShuttingDownError``."""
        supervisor = self._supervisors[self.resolve(name)]
        if self._draining:
            raise ShuttingDownError("the daemon is stopping; try again when it is back", retry_after=5.0)
        ready, client = supervisor.require_ready()
        return ReadyModel(supervisor.name, supervisor.config, ready, client)

    def start_all(self) -> None:
        """Load every model."""
        for supervisor in self._supervisors.values():
            supervisor.start()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - running out of time is an answer here, not an error
        """Refuse new requests and let those that run finish; False if some still ran after ``timeout`` seconds."""
        self._draining = True
        clients = [supervisor.client for supervisor in self._supervisors.values()]
        for supervisor in self._supervisors.values():
            supervisor.drain()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(client.wait_idle() for client in clients if client is not None))
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End every worker."""
        await asyncio.gather(*(supervisor.stop() for supervisor in self._supervisors.values()))
