"""What a new configuration changes, and in which order: sockets, logs, traces, metrics, memory, models."""

import asyncio
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil
import structlog

from mlxd.config.loader import LoadedConfig
from mlxd.config.schema import Config
from mlxd.config.source import is_local
from mlxd.control.ledger import memory_limit
from mlxd.control.planner import Action, Plan, Room
from mlxd.control.registry import Registry
from mlxd.control.reload import Standing
from mlxd.errors import ConfigError, ModelSourceError
from mlxd.listener.listeners import Listeners, Move, PreparedMoves
from mlxd.observability.logging import check_log_file, configure_logging
from mlxd.observability.metrics import Metrics
from mlxd.observability.tracing import Tracing

_NEW_WORKER = frozenset({Action.LOAD, Action.ADD, Action.REPLACE, Action.DRAIN_AND_REPLACE})

log = structlog.get_logger(__name__)


class Takeover:
    """Implements ``control.reload.Host``. ``running`` is the one snapshot that everybody asks."""

    listeners: Listeners  # set once they are made, for they ask what is ``running``

    def __init__(self, running: LoadedConfig, *, registry: Registry, metrics: Metrics, tracing: Tracing) -> None:
        self.running = running
        self.since = time.time()
        self._registry = registry
        self._metrics = metrics
        self._tracing = tracing

    def room(self) -> Room:
        """See ``Host``."""
        memory = self._registry.memory
        return Room(memory.ledger.limit, memory.by_model())

    async def prepare(self, new: LoadedConfig, plan: Plan) -> PreparedMoves:
        """See ``Host``. Raises ``ModelSourceError``, ``ConfigError`` or ``ListenError``."""
        changed = [model.name for model in plan.models if model.action in _NEW_WORKER]
        await asyncio.to_thread(_check_sources, new.config, changed)
        if new.config.log.file != self.running.config.log.file:
            check_log_file(new.config.log)
        await self._tracing.prepare(new.config.tracing)
        return self.listeners.prepare([Move(one.role, one.opened, one.closed) for one in plan.listeners])

    def commit(self, new: LoadedConfig, prepared: PreparedMoves) -> None:
        """See ``Host``. Old sockets close before the new rules hold, and new ones answer after: neither is ever open under the
        other's rules.
        """
        self.listeners.close_old(prepared)
        self.running, self.since = new, time.time()
        try:
            configure_logging(new.config.log)
        except ConfigError as error:  # it could be opened a moment ago
            log.error("log_not_reconfigured", reason=error.message)  # noqa: TRY400 - the reason says it all
        self._tracing.configure(new.config.tracing)
        self._metrics.add_models(new.config.models)
        self._metrics.config_loaded(new.sha256)
        self._registry.memory.set_limit(total_memory_limit(new.config))
        self._registry.apply(new.config.models)
        self.listeners.serve_new(prepared)

    async def wait_settled(self, models: Collection[str]) -> Mapping[str, str]:
        """See ``Host``."""
        return await self._registry.wait_settled(models)

    def standing(self, model: str) -> Standing:
        """See ``Host``."""
        return self._registry.standing(model)


def total_memory_limit(config: Config) -> int:
    """``memory.limit`` in bytes, on this machine."""
    return memory_limit(config.memory.limit, psutil.virtual_memory().total)


def _check_sources(config: Config, models: list[str]) -> None:
    """Those that are directories here. What is fetched is looked at when it is loaded."""
    for name in models:
        source = config.models[name].source
        if is_local(source) and not Path(source).exists():
            raise ModelSourceError(f"models.{name}.source: there is nothing at {source}")
