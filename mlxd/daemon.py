"""The composition root: what is wired to what, in which order things start and stop, and signals. Nothing else.

Start: logs, metrics, the listeners, then the models; so health answers while models load.
Stop: no new connections, running requests finish (``server.drain_timeout``), workers end, listeners close.
"""

import asyncio
import contextlib
import os
import signal
import time

import structlog

from mlxd import __version__
from mlxd.admin.app import build_admin_app, build_metrics_app
from mlxd.admin.keys import AdminSources, DaemonFacts, ListenerFacts, RunningConfig
from mlxd.api.app import build_app
from mlxd.client.process import ProcessWorker
from mlxd.client.worker_client import WorkerClient
from mlxd.config.loader import LoadedConfig
from mlxd.config.redact import redacted
from mlxd.config.schema import ModelTable
from mlxd.control.model_state import ModelStatus
from mlxd.control.registry import Registry
from mlxd.listener.security import SecurityRules, admin_rules
from mlxd.listener.server import Listener
from mlxd.observability.logging import configure_logging, log_worker_record, reopen_log_file
from mlxd.observability.loop_lag import sample_loop_lag
from mlxd.observability.metrics import Metrics
from mlxd.terminal.banner import BannerModel, banner

log = structlog.get_logger(__name__)


def serve(loaded: LoadedConfig) -> int:
    """Run until a signal ends it; the exit code. Raises ``ListenError`` when an address cannot be bound."""
    configure_logging(loaded.config.log)
    return asyncio.run(_run(loaded))


async def _run(loaded: LoadedConfig) -> int:
    return await Daemon(loaded).run()


class Daemon:
    """One daemon, from start to stop. Made on the event loop it runs on."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self._config = loaded.config
        self._started = time.time()
        self._stopping = asyncio.Event()  # the first TERM or INT: drain
        self._stopping_now = asyncio.Event()  # the second
        self._metrics = Metrics(statuses=self._statuses)
        self._metrics.add_models(self._config.models)
        self._registry = Registry(self._config.models, self._config.log, worker_factory=_make_worker, telemetry=self._metrics)
        self._running_config = RunningConfig(path=str(loaded.path), sha256=loaded.sha256, loaded=self._started, document=redacted(loaded))
        self._listeners = self._make_listeners()

    async def run(self) -> int:
        """Start everything, wait for a signal, stop everything."""
        self._handle_signals()
        async with contextlib.AsyncExitStack() as at_exit:
            for listener in self._listeners.values():
                await listener.start()
                at_exit.push_async_callback(listener.stop)
            self._metrics.config_loaded(self._running_config.sha256)
            lag = asyncio.create_task(sample_loop_lag(self._metrics.loop_lag.observe))
            at_exit.callback(lag.cancel)
            log.info("daemon_started", version=__version__, pid=os.getpid(), config=self._running_config.path)
            print(self._banner(), flush=True)  # noqa: T201 - for the person at the terminal; the log says the same to machines
            self._registry.start_all()
            await self._stopping.wait()
            await self._drain()
        log.info("daemon_stopped", uptime=round(time.time() - self._started, 1))
        return 0

    async def _drain(self) -> None:
        """Let running requests finish; those that do not are ended by their workers' stop, with an error."""
        timeout = self._config.server.drain_timeout
        log.info("daemon_draining", timeout=timeout)
        for role, listener in self._listeners.items():
            if role == "inference":
                listener.stop_accepting()
        drained = asyncio.create_task(self._registry.drain(timeout))
        hurried = asyncio.create_task(self._stopping_now.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()
        await self._registry.stop()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        log.info("signal_received", signal=number.name)
        if self._stopping.is_set():
            self._stopping_now.set()
        self._stopping.set()

    def _on_hangup(self) -> None:
        """Reloading comes later; what works today is reopening the log after rotation."""
        reopen_log_file()
        log.warning("reload_refused", reason="reloading the configuration is not yet available; the log file was reopened")

    def _make_listeners(self) -> dict[str, Listener]:
        config = self._config
        own_metrics = config.metrics.listen
        sources = AdminSources(
            models=self._registry,
            config=lambda: self._running_config,
            daemon=self._facts,
            cache_counters=self._metrics.cache_counters,
            metrics=lambda: self._metrics.registry if config.metrics.enabled and not own_metrics else None,
        )
        listeners = {
            "admin": Listener(build_admin_app(sources, self._admin_rules), config.admin.listen),
            "inference": Listener(build_app(self._registry, self._metrics, lambda: config), config.server.listen),
        }
        if config.metrics.enabled and own_metrics:
            listeners["metrics"] = Listener(build_metrics_app(lambda: self._metrics.registry, self._admin_rules), own_metrics)
        return listeners

    def _statuses(self) -> list[ModelStatus]:
        return self._registry.statuses()

    def _admin_rules(self) -> SecurityRules:
        return admin_rules(self._config.admin)

    def _facts(self) -> DaemonFacts:
        bound = [ListenerFacts(role=role, address=str(address)) for role, one in self._listeners.items() for address in one.addresses]
        return DaemonFacts(pid=os.getpid(), started=self._started, draining=self._stopping.is_set(), listeners=tuple(bound))

    def _banner(self) -> str:
        models = [BannerModel(name, model.source, "loading") for name, model in self._config.models.items()]
        return banner(
            __version__, self._running_config.path, self._listeners["inference"].addresses, self._listeners["admin"].addresses, models
        )


def _make_worker(name: str, model: ModelTable) -> WorkerClient:
    watch = model.worker
    return ProcessWorker(name, hang_timeout=watch.hang_timeout, load_timeout=watch.load_timeout, log=log_worker_record)
