"""What a new configuration changes, and in which order: sockets, logs, traces, metrics, memory, models."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import structlog

from mlxd.config.certificates import certificate_files
from mlxd.config.loader import LoadedConfig
from mlxd.config.model_sources import adapter_sources, model_sources
from mlxd.config.quotas import cache_quotas
from mlxd.config.schema import Config
from mlxd.config.source import is_local
from mlxd.control.memory.ledger import memory_limit
from mlxd.control.memory.waiting_bounds import waiting_bounds
from mlxd.control.planner import Action, Plan, Room
from mlxd.control.registry import Registry
from mlxd.control.reload import Standing
from mlxd.errors import ConfigError, ModelSourceError
from mlxd.listener.certificates import Certificates, PreparedCertificates
from mlxd.listener.listeners import Listeners, Move, PreparedMoves
from mlxd.observability.logging import PreparedLogging, current_logging, prepare_logging
from mlxd.observability.metrics import Metrics
from mlxd.observability.tracing import PreparedTracing, Tracing

_NEW_WORKER = frozenset({Action.LOAD, Action.ADD, Action.REPLACE, Action.DRAIN_AND_REPLACE})

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Everything of a new configuration that could have failed, to be committed, or discarded part by part."""

    logs: PreparedLogging
    traces: PreparedTracing
    certificates: PreparedCertificates
    moves: PreparedMoves


def _nothing() -> None:
    """The step has nothing to take back, or nothing to give back."""


@dataclass(frozen=True)
class Step:
    """One call of a commit. ``undo`` takes back whatever part of ``do`` was done; ``finish`` gives back what the old world held."""

    name: str
    do: Callable[[], None]
    undo: Callable[[], None] = _nothing
    finish: Callable[[], None] = _nothing


class Takeover:
    """A ``control.reload.Host``. ``running`` is the one snapshot that everybody asks."""

    listeners: Listeners  # set once they are made, for they ask what is ``running``

    def __init__(
        self, running: LoadedConfig, *, registry: Registry, metrics: Metrics, tracing: Tracing, certificates: Certificates
    ) -> None:
        self.running = running
        self.since = time.time()
        self._registry = registry
        self._metrics = metrics
        self._tracing = tracing
        self._certificates = certificates

    def room(self) -> Room:
        memory = self._registry.memory
        return Room(memory.ledger.limit, memory.ledger.by_model(), memory.pool.size, memory.pool.by_model())

    async def prepare(self, new: LoadedConfig, plan: Plan) -> Prepared:
        """Prepares as ``Host`` says. Raises ``ModelSourceError``, ``ConfigError`` or ``ListenError``."""
        changed = [model.name for model in plan.models if model.action in _NEW_WORKER]
        await asyncio.to_thread(_check_sources, new.config, changed)
        await asyncio.to_thread(_check_adapters, self.running.config, new.config)
        certificates = await asyncio.to_thread(self._certificates.prepare, certificate_files(new.config))
        with contextlib.ExitStack() as on_failure:
            logs = self._prepare_logging(new)
            on_failure.callback(logs.discard)
            traces = await self._tracing.prepare(new.config.tracing)
            on_failure.callback(traces.discard)
            moves = self.listeners.prepare([Move(one.role, one.opened, one.closed) for one in plan.listeners])
            on_failure.pop_all()
        return Prepared(logs, traces, certificates, moves)

    def _prepare_logging(self, new: LoadedConfig) -> PreparedLogging:
        """Prepares the log. A file that is gone since it was opened is no reason to refuse what does not touch it."""
        if new.config.log.file == self.running.config.log.file:
            with contextlib.suppress(ConfigError):
                return prepare_logging(new.config.log)
            log.error("log_not_reconfigured", file=new.config.log.file)
            return PreparedLogging(new.config.log, None)
        return prepare_logging(new.config.log)

    def commit(self, new: LoadedConfig, prepared: Prepared) -> None:
        """Takes the configuration over as ``Host`` says, in one turn of the event loop, so that no request is answered by one half of each
        configuration. If anything raises all the same, what was done is taken back: the old world goes on, whole. What follows once
        everything is done only gives back what the old one held.
        """
        steps = self.steps(new, prepared)
        with contextlib.ExitStack() as undo:
            undo.callback(self.listeners.take_back, prepared.moves)
            for step in steps:
                undo.callback(step.undo)
                step.do()
            undo.pop_all()
        for step in steps:
            try:
                step.finish()
            except Exception:
                log.exception("old_configuration_not_tidied_up", step=step.name)

    def steps(self, new: LoadedConfig, prepared: Prepared) -> tuple[Step, ...]:
        """Returns what a commit does, in its order."""
        before, since, limit = self.running, self.since, self._registry.memory.limit
        logs, traces, memory, metrics = current_logging(), self._tracing.current(), self._registry.memory, self._metrics
        wired, waiting, quotas = memory.wired_limit, memory.waiting_bounds, memory.quotas
        store, certificates = self._certificates, self._certificates.current()
        return (
            Step("snapshot", lambda: self._run(new, time.time()), undo=lambda: self._run(before, since)),
            Step("logs", prepared.logs.swap, undo=logs.put_back, finish=logs.close),
            Step("traces", lambda: self._tracing.swap(prepared.traces), undo=lambda: self._tracing.swap(traces), finish=traces.discard),
            Step("labels", lambda: metrics.add_models(new.config.models)),  # additional ones harm nobody
            Step("memory", lambda: memory.set_limit(total_memory_limit(new.config)), undo=lambda: memory.set_limit(limit)),
            Step("waiting", lambda: memory.set_waiting(waiting_bounds(new.config)), undo=lambda: memory.set_waiting(waiting)),
            Step("wired memory", lambda: memory.set_wired_limit(new.config.memory.wired_limit), undo=lambda: memory.set_wired_limit(wired)),
            Step("quotas", lambda: memory.set_quotas(cache_quotas(new.config)), undo=lambda: memory.set_quotas(quotas)),
            Step("certificates", lambda: store.swap(prepared.certificates), undo=lambda: store.swap(certificates)),
            Step(
                "listeners",
                lambda: self.listeners.serve_new(prepared.moves),
                finish=lambda: self.listeners.close_old(prepared.moves),
            ),
            Step(
                "metrics",
                lambda: metrics.config_loaded(new.sha256),
                undo=lambda: metrics.config_loaded(before.sha256, since),
            ),
            Step("models", lambda: self._registry.apply(new.config.models), undo=self._registry.restorer()),
        )

    def _run(self, snapshot: LoadedConfig, since: float) -> None:
        self.running, self.since = snapshot, since

    async def wait_settled(self, models: Collection[str]) -> Mapping[str, str]:
        return await self._registry.wait_settled(models)

    def standing(self, model: str) -> Standing:
        return self._registry.standing(model)


def total_memory_limit(config: Config) -> int:
    """Returns ``memory.limit`` in bytes, on this machine."""
    return memory_limit(config.memory.limit, psutil.virtual_memory().total)


def _check_sources(config: Config, models: list[str]) -> None:
    """Checks those sources that are directories here. What is fetched is looked at when it is loaded. Raises ``ModelSourceError``."""
    for name in models:
        for one in model_sources(config.models[name]):
            if is_local(one.source) and not Path(one.source).exists():
                raise ModelSourceError(f"models.{name}.{one.field}: there is nothing at {one.source}")


def _check_adapters(before: Config, after: Config) -> None:
    """Checks the directories of adapters that come or change, likewise. Raises ``ModelSourceError``."""
    known = {one.source for model in before.models.values() for one in model.adapters.values()}
    for name, model in after.models.items():
        for one in adapter_sources(model):
            if is_local(one.source) and one.source not in known and not Path(one.source).exists():
                raise ModelSourceError(f"models.{name}.{one.field}: there is nothing at {one.source}")
