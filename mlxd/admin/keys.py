"""What the admin API's handlers are given: values and callables the daemon wires, each under a typed key."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from mlxd.config.certificates import CertificateState
from mlxd.control.disk_directories import DiskDirectories
from mlxd.control.live_requests import LiveRequests
from mlxd.control.memory.giving_way import ExchangeState
from mlxd.control.memory.relief import ReliefState
from mlxd.control.model.status import ModelStatus
from mlxd.control.operations import Operations
from mlxd.control.quotas.key_uses import Holding
from mlxd.control.reload import Outcome, Trigger
from mlxd.control.telemetry import CacheCounters, HistogramCounts, TokenCounters
from mlxd.listener.security import SecurityRules
from mlxd.wire.messages import CacheEvicted


class Models(Protocol):
    """What is asked of ``control.registry.Registry``. Names are ids or aliases; all but ``statuses`` raise ``ModelNotFoundError``."""

    def statuses(self) -> Iterable[ModelStatus]:
        """Returns the status of all configured models, in the file's order."""

    def identify(self, name: str) -> str:
        """Returns the id of a name or alias, patterns aside."""

    def status(self, name: str) -> ModelStatus: ...

    def load(self, name: str) -> None:
        """Makes the model ready, and keeps it so."""

    def unload(self, name: str) -> None:
        """Ends the model's worker; the next request loads it again."""

    def drain(self, name: str) -> None:
        """Takes the model out of service until it is loaded again."""

    def restart(self, name: str) -> None:
        """Gives the model a new worker in the place of the one there is."""

    async def wait_model_settled(self, name: str) -> str | None:
        """Waits until the model is what is wanted of it, and returns why not where it cannot be."""

    async def load_adapter(self, name: str, adapter: str) -> None:
        """Loads an adapter of a model. Raises ``UnavailableError`` too, and what is wrong with the adapter."""

    async def unload_adapter(self, name: str, adapter: str) -> None:
        """Unloads an adapter of a model. Raises as ``load_adapter``."""

    async def evict_cache(self, name: str) -> CacheEvicted:
        """Drops what the model's cache keeps for later requests. Raises ``UnavailableError`` too."""


class Reloads(Protocol):
    """What is asked of ``control.reload.Reloader``."""

    async def reload(self, trigger: Trigger, *, if_match: str | None = None) -> Outcome:
        """Takes over the file as it is now, and waits until that is done."""

    async def dry_run(self, *, if_match: str | None = None) -> Outcome:
        """Returns what ``reload`` would do."""

    async def compare(self, text: str) -> Outcome:
        """Returns what taking over ``text`` would do."""


@dataclass(frozen=True, kw_only=True)
class RunningConfig:
    """The running snapshot, as it may be shown."""

    path: str
    sha256: str  # of the file's bytes
    loaded: float  # Unix time it was taken over
    document: Callable[[], dict[str, Any]]  # JSON-able, secrets redacted; it takes as long as there are models, and few ask for it
    successful: bool = True  # the last reload left nothing to be desired
    last_error: str | None = None  # why the newest file was refused; None: it is the running one


@dataclass(frozen=True, kw_only=True)
class ListenerFacts:
    """A bound address; ``role`` is "inference", "admin" or "metrics"."""

    role: str
    address: str  # the real one: "127.0.0.1:8000", "unix:/path"
    certificate: CertificateState | None = None  # None: plain HTTP


@dataclass(frozen=True, kw_only=True)
class DaemonFacts:
    """The daemon itself, at this moment."""

    pid: int
    started: float  # Unix time
    draining: bool
    listeners: tuple[ListenerFacts, ...]


@dataclass(frozen=True, kw_only=True)
class MemoryFacts:
    """The ledger over all models, at this moment, in bytes."""

    limit: int
    reserved: Mapping[str, int]  # by model
    excess: int = 0  # that workers really hold beyond it
    shares: Mapping[str, int] = field(default_factory=dict)  # of the pool of caches, by model

    relief: ReliefState = field(default_factory=ReliefState)
    exchange: ExchangeState = field(default_factory=ExchangeState)
    daemon: int = 0  # what the daemon itself holds; it is no part of the ledger

    @property
    def total(self) -> int:
        """Returns the bytes reserved by all models."""
        return sum(self.reserved.values())


Metrics = Callable[[], CollectorRegistry | None]


@dataclass(frozen=True, kw_only=True)
class AdminSources:
    """Where the answers come from. All are asked anew at each request, so a reload needs no new application."""

    models: Models
    requests: LiveRequests
    holdings: Callable[[], Iterable[Holding]]  # of the running configuration's keys
    operations: Operations
    reloads: Reloads
    config: Callable[[], RunningConfig]
    validate: Callable[[str], list[str]]  # a TOML text to the names of its models; raises ``ConfigError``
    daemon: Callable[[], DaemonFacts]
    memory: Callable[[], MemoryFacts]
    cache_counters: Callable[[str], CacheCounters]  # of a model's id, as the two that follow
    token_counters: Callable[[str], TokenCounters]
    first_token_counts: Callable[[str], HistogramCounts]
    metrics: Metrics  # None: switched off, or on a listener of its own
    vllm_metrics: Metrics  # the same under vLLM's names
    set_log_level: Callable[[str], None]
    disks: DiskDirectories = field(default_factory=DiskDirectories)


SOURCES: web.AppKey[AdminSources] = web.AppKey("sources", AdminSources)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics")
VLLM_METRICS: web.AppKey[Metrics] = web.AppKey("vllm_metrics")
RULES: web.AppKey[Callable[[], SecurityRules]] = web.AppKey("rules")
