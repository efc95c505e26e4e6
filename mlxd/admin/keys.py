"""What the admin API's handlers are given: values and callables the daemon wires, each under a typed key."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from mlxd.control.model_state import ModelStatus
from mlxd.control.telemetry import CacheCounters
from mlxd.listener.security import SecurityRules


class Models(Protocol):
    """What is asked of ``control.registry.Registry``."""

    def statuses(self) -> Iterable[ModelStatus]:
        """All configured models, in the file's order."""

    def resolve(self, name: str) -> str:
        """The id of a name or alias. Raises ``ModelNotFoundError``."""

    def status(self, name: str) -> ModelStatus:
        """Of one id."""


@dataclass(frozen=True, kw_only=True)
class RunningConfig:
    """The running snapshot, as it may be shown."""

    path: str
    sha256: str  # of the file's bytes
    loaded: float  # Unix time it was taken over
    document: dict[str, Any]  # JSON-able, secrets redacted
    last_error: str | None = None  # why the newest file was refused; None: it is the running one


@dataclass(frozen=True, kw_only=True)
class ListenerFacts:
    """One bound address; ``role`` is "inference", "admin" or "metrics"."""

    role: str
    address: str  # the real one: "127.0.0.1:8000", "unix:/path"


@dataclass(frozen=True, kw_only=True)
class DaemonFacts:
    """The daemon itself, at this moment."""

    pid: int
    started: float  # Unix time
    draining: bool
    listeners: tuple[ListenerFacts, ...]


Metrics = Callable[[], CollectorRegistry | None]


@dataclass(frozen=True, kw_only=True)
class AdminSources:
    """Where the answers come from. All are asked anew at each request, so a reload needs no new application."""

    models: Models
    config: Callable[[], RunningConfig]
    daemon: Callable[[], DaemonFacts]
    cache_counters: Callable[[str], CacheCounters]  # of a model's id
    metrics: Metrics  # None: switched off, or on a listener of its own


SOURCES: web.AppKey[AdminSources] = web.AppKey("sources", AdminSources)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics")
RULES: web.AppKey[Callable[[], SecurityRules]] = web.AppKey("rules")
