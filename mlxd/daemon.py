"""The composition root: what is wired to what, in which order things start and stop, and signals. Nothing else.

Start: logs, metrics, the listeners, then the models; so health answers while models load.
Stop: no new connections, running requests finish (``server.drain_timeout``), workers end, listeners close.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from mlxd import __version__
from mlxd.admin.app import build_admin_app, build_metrics_app, rules_of
from mlxd.admin.keys import AdminSources, DaemonFacts, ListenerFacts, MemoryFacts, RunningConfig
from mlxd.api.app import ApiSources, build_app
from mlxd.client.process import ProcessWorker
from mlxd.client.worker_client import WorkerClient
from mlxd.config.address import TcpAddress, url_of
from mlxd.config.certificates import certificate_files
from mlxd.config.loader import LoadedConfig, parse_submitted
from mlxd.config.model_sources import adapter_sources, model_sources
from mlxd.config.principal import principals
from mlxd.config.quotas import cache_quotas
from mlxd.config.redact import redacted
from mlxd.config.schema import Config, ModelTable
from mlxd.config.watcher import FileWatcher
from mlxd.control.live_requests import LiveRequests
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.pressure import pressure_reader
from mlxd.control.memory.relief import MemoryRelief, relief_settings
from mlxd.control.memory.waiting_bounds import waiting_bounds
from mlxd.control.model.status import ModelStatus
from mlxd.control.operations import Operations
from mlxd.control.planner import listen_addresses
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.control.registry import Registry
from mlxd.control.reload import Outcome, Reloader, Trigger
from mlxd.footprint import footprint
from mlxd.listener.certificates import Certificates
from mlxd.listener.listeners import Listeners
from mlxd.listener.security import SecurityRules, metrics_rules
from mlxd.listener.server import Listener
from mlxd.observability.logging import configure_logging, log_worker_record, reopen_log_file, set_log_level
from mlxd.observability.loop_lag import sample_loop_lag
from mlxd.observability.metrics import Metrics
from mlxd.observability.tracing import Tracing
from mlxd.service.manager import ServiceManager
from mlxd.service.open_files import raise_open_files_limit
from mlxd.service.status_line import draining_line, status_line
from mlxd.takeover import Takeover, total_memory_limit
from mlxd.terminal.banner import BannerModel, banner
from mlxd.terminal.streams import say

# Seconds for which a thread that works off a large body keeps the interpreter while the event loop wants it. Each read and write of
# the loop gives it away once, so a request waits for several turns; Python's own 5 ms made 30 of them.
_TURN = 0.001

log = structlog.get_logger(__name__)


def serve(loaded: LoadedConfig) -> int:
    """Runs until a signal ends it, and returns the exit code. Raises ``ListenError`` when an address cannot be bound."""
    configure_logging(loaded.config.log)
    raise_open_files_limit()
    sys.setswitchinterval(_TURN)
    return asyncio.run(_run(loaded))


async def _run(loaded: LoadedConfig) -> int:
    return await Daemon(loaded).run()


class Daemon:
    """One daemon, from start to stop, made on the event loop it runs on."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self._started = time.time()
        self._stopping = asyncio.Event()  # the first TERM or INT: drain
        self._stopping_now = asyncio.Event()  # the second
        ledger = Ledger(total_memory_limit(loaded.config))
        read_pressure = pressure_reader()
        self._certificates = Certificates()
        self._key_uses = KeyUses(lambda: principals(self._config.server))
        self._metrics = Metrics(
            self._statuses,
            ledger,
            holdings=self._key_uses.current,
            read_pressure=read_pressure,
            certificates=self._certificates.states,
        )
        self._metrics.add_models(loaded.config.models)
        self._tracing = Tracing()
        self._registry = Registry(
            worker_factory=_make_worker,
            telemetry=self._metrics,
            ledger=ledger,
            drain_timeout=lambda: self._config.server.drain_timeout,
            exchange=self._metrics.exchange,
        )
        self._registry.memory.set_wired_limit(loaded.config.memory.wired_limit)
        self._registry.memory.set_waiting(waiting_bounds(loaded.config))
        self._registry.memory.set_quotas(cache_quotas(loaded.config))
        self._requests = LiveRequests()
        self._operations = Operations()
        self._takeover = Takeover(
            loaded, registry=self._registry, metrics=self._metrics, tracing=self._tracing, certificates=self._certificates
        )
        self._relief = MemoryRelief(
            self._registry.memory,
            evict=self._registry.evict_cache,
            read=read_pressure,
            settings=lambda: relief_settings(self._config.memory),
            telemetry=self._metrics.relief,
        )
        self._service = ServiceManager(os.environ, models=self._statuses, describe=self._status_line)
        self._reloader = Reloader(self._takeover, told=self._on_reload, under_way=self._service.reloading)
        self._metrics.reload_successful.set_function(lambda: self._reloader.is_good)
        self._listeners = self._takeover.listeners = self._make_listeners(loaded.config)

    async def run(self) -> int:
        """Starts everything, waits for a signal, and stops everything."""
        self._handle_signals()
        async with contextlib.AsyncExitStack() as at_exit:
            at_exit.push_async_callback(self._tracing.stop)
            self._tracing.configure(self._config.tracing)
            self._certificates.swap(self._certificates.prepare(certificate_files(self._config)))
            await self._listeners.start()
            at_exit.push_async_callback(self._listeners.stop)
            running = self._takeover.running
            self._metrics.config_loaded(running.sha256)
            watcher = FileWatcher(
                running.path,
                lambda: self._reloader.request(Trigger.FILE),
                seen=running.sha256,
                last_read=lambda: self._reloader.last_read,
            )
            beside = {
                "loop_lag": sample_loop_lag(self._metrics.loop_lag.observe),
                "watcher": watcher.run(),
                "certificates": self._certificates.run(),
                "service": self._service.run(),
                "memory_relief": self._relief.run(),
            }
            for name, work in beside.items():
                at_exit.callback(asyncio.create_task(_never_in_silence(name, work), name=name).cancel)
            at_exit.callback(self._operations.stop)
            log.info("daemon_started", version=__version__, pid=os.getpid(), config=str(running.path))
            say(self._banner(), sys.stdout)  # for the person at the terminal; the log says the same to machines
            self._registry.apply(running.config.models)
            await self._stopping.wait()
            await self._drain()
        log.info("daemon_stopped", uptime=round(time.time() - self._started, 1))
        return 0

    async def _drain(self) -> None:
        """Lets running requests finish; those that do not are ended by their workers' stop, with an error."""
        timeout = self._config.server.drain_timeout
        log.info("daemon_draining", timeout=timeout)
        self._service.stopping()
        self._reloader.stop()
        self._listeners.stop_accepting("inference")
        drained = asyncio.create_task(self._registry.finish(timeout))
        hurried = asyncio.create_task(self._stopping_now.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()
        await self._registry.stop()

    # ---- signals and reloads ----

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self._stopping_now.set()
        self._stopping.set()
        log.info("signal_received", signal=number.name)

    def _on_hangup(self) -> None:
        reopen_log_file()
        self._reloader.request(Trigger.SIGNAL)

    def _on_reload(self, trigger: Trigger, outcome: Outcome) -> None:
        self._metrics.reloaded(trigger.value, outcome.result.value)
        if outcome.result.is_good:
            log.info("reload_done", trigger=trigger.value, result=outcome.result.value, sha256=outcome.sha256)
        else:
            log.error("reload_failed", trigger=trigger.value, result=outcome.result.value, problems=list(outcome.problems))

    # ---- wiring ----

    @property
    def _config(self) -> Config:
        return self._takeover.running.config

    def _make_listeners(self, config: Config) -> Listeners:
        """Makes the listeners. Each application asks for the running configuration at each request."""
        sources = AdminSources(
            models=self._registry,
            requests=self._requests,
            holdings=self._key_uses.current,
            operations=self._operations,
            reloads=self._reloader,
            config=self._running_config,
            validate=self._validate,
            daemon=self._facts,
            memory=self._memory,
            cache_counters=self._metrics.cache_counters,
            token_counters=self._metrics.token_counters,
            first_token_counts=self._metrics.first_token_counts,
            metrics=lambda: None if self._config.metrics.listen else self._registry_to_scrape(),
            vllm_metrics=lambda: None if self._config.metrics.listen else self._vllm_registry_to_scrape(),
            set_log_level=set_log_level,
        )
        metrics = build_metrics_app(self._registry_to_scrape, self._vllm_registry_to_scrape, self._metrics_rules)
        inference = ApiSources(
            models=self._registry,
            telemetry=self._metrics,
            tracer=self._tracing,
            requests=self._requests,
            key_uses=self._key_uses,
            config=lambda: self._config,
        )
        apps = {"admin": build_admin_app(sources, self._admin_rules), "inference": build_app(inference), "metrics": metrics}
        wanted, context = listen_addresses(config), self._certificates.context
        return Listeners({role: Listener(app, wanted[role], tls=partial(context, role)) for role, app in apps.items()})

    def _registry_to_scrape(self) -> CollectorRegistry | None:
        return self._metrics.registry if self._config.metrics.enabled else None

    def _vllm_registry_to_scrape(self) -> CollectorRegistry | None:
        return self._metrics.vllm.registry if self._config.metrics.enabled and self._config.metrics.vllm_compat else None

    def _statuses(self) -> list[ModelStatus]:
        return self._registry.statuses()

    def _status_line(self) -> str:
        if self._stopping.is_set():
            return draining_line(self._statuses())
        return status_line(self._statuses(), self._listeners.addresses("inference"), self._reloader.last_problems)

    def _admin_rules(self) -> SecurityRules:
        return rules_of(self._config.admin)

    def _metrics_rules(self) -> SecurityRules:
        return metrics_rules(self._config.admin, self._config.metrics)

    def _running_config(self) -> RunningConfig:
        running = self._takeover.running
        return RunningConfig(
            path=str(running.path),
            sha256=running.sha256,
            loaded=self._takeover.since,
            document=partial(redacted, running),
            successful=self._reloader.is_good,
            last_error="\n".join(self._reloader.last_problems) or None,
        )

    def _facts(self) -> DaemonFacts:
        certificates = {state.listener: state for state in self._certificates.states()}
        bound = [
            ListenerFacts(role=role, address=str(address), certificate=certificates.get(role) if isinstance(address, TcpAddress) else None)
            for role, address in self._listeners.bound
        ]
        return DaemonFacts(pid=os.getpid(), started=self._started, draining=self._stopping.is_set(), listeners=tuple(bound))

    def _memory(self) -> MemoryFacts:
        memory = self._registry.memory
        return MemoryFacts(
            limit=memory.ledger.limit,
            reserved=memory.ledger.by_model(),
            excess=memory.ledger.excess,
            shares=memory.pool.by_model(),
            relief=self._relief.state,
            exchange=memory.exchange,
            daemon=footprint(os.getpid()),
        )

    def _validate(self, text: str) -> list[str]:
        """Checks ``text`` as if it stood where the running file does, and returns its models; what it names is not read."""
        return list(parse_submitted(text, self._takeover.running.path).config.models)

    def _banner(self) -> str:
        running = self._takeover.running
        models = [BannerModel(name, model.source, "loading", model.task) for name, model in running.config.models.items()]
        return banner(__version__, str(running.path), self._urls("inference"), self._urls("admin"), models)

    def _urls(self, role: str) -> list[str]:
        """Returns where the listener is asked, as URLs, or as paths of sockets."""
        scheme = "http" if self._certificates.context(role) is None else "https"
        return [url_of(address, scheme) for address in self._listeners.addresses(role)]


async def _never_in_silence(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Runs ``work`` beside the requests. It may have a defect: the rest goes on, and the log has it."""
    try:
        await work
    except Exception:
        log.exception("background_task_failed", task=name)


def _make_worker(name: str, model: ModelTable) -> WorkerClient:
    watch = model.worker
    return ProcessWorker(
        name,
        model.source,
        hang_timeout=watch.hang_timeout,
        load_timeout=watch.load_timeout,
        log=log_worker_record,
        beside=[one.source for one in (*model_sources(model), *adapter_sources(model))],
    )
