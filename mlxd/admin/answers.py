"""The documents of the admin API, declared once: what is sent, and what its OpenAPI description says.

Times are RFC 3339 in UTC; sizes are bytes, spans seconds; what is unknown is null.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from mlxd.types import Limits


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is always there."""


# ---- errors ----


class ErrorBody(_Document, frozen=True, kw_only=True):
    """What was wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str  # stable: for programs


class ErrorAnswer(_Document, frozen=True, kw_only=True):
    """Every refusal."""

    error: ErrorBody


# ---- models ----


class LoadProgress(_Document, frozen=True, kw_only=True):
    """How far a load is. Sizes are 0 where a stage cannot tell."""

    stage: str  # fetching, converting, loading, warming
    done_bytes: int
    total_bytes: int
    fraction: float | None


class RequestCounts(_Document, frozen=True, kw_only=True):
    """Of all workers of a model, those that drain included."""

    running: int
    waiting: int


class WorkerMemory(_Document, frozen=True, kw_only=True):
    """Of the worker's last heartbeat."""

    weights_bytes: int
    kv_bytes: int
    mlx_active_bytes: int
    mlx_cache_bytes: int
    mlx_peak_bytes: int
    rss_bytes: int


class Blocks(_Document, frozen=True, kw_only=True):
    """Of a paged cache. ``shared``: of the used ones, those with several holders."""

    used: int
    shared: int
    cached: int
    free: int


class Lookups(_Document, frozen=True, kw_only=True):
    """Requests that asked the prefix cache, since the daemon started."""

    hit: int
    prefix_hit: int
    miss: int


class Cache(_Document, frozen=True, kw_only=True):
    """What the prefix cache holds and has done. ``used``: by running requests; ``cached``: for later ones."""

    kind: str  # as configured
    blocks: Blocks | None
    entries: int | None
    snapshots: int | None
    used_bytes: int | None
    cached_bytes: int | None
    saved_bytes: int | None
    limit_bytes: int | None
    query_tokens: int
    hit_tokens: int
    lookups: Lookups


class Runner(_Document, frozen=True, kw_only=True):
    """How the worker computes, and why so. ``fallback``: it is not the one that was asked for."""

    name: str
    reason: str
    fallback: bool


class Model(_Document, frozen=True, kw_only=True):
    """Desired and actual state of one model. ``limits`` are those its worker has, not those it was asked to take."""

    id: str
    aliases: Sequence[str]
    source: str
    desired_state: str
    state: str  # stopped, loading, ready, draining, failed
    since: str
    pid: int | None
    replacing: bool  # a worker loads that is to take over
    leaving_pids: Sequence[int]  # workers that end, once their requests are done
    differs: str | None  # why what runs is not what the configuration says
    progress: LoadProgress | None
    restarts: int
    restart_in_seconds: float | None
    last_error: str | None
    requests: RequestCounts
    memory: WorkerMemory | None
    reserved_bytes: int
    cache: Cache
    limits: Limits | None
    runner: Runner | None
    device: str | None
    dtype: str | None
    context_length: int | None
    vocabulary_size: int | None
    load_seconds: float | None
    versions: Mapping[str, str] | None


class ModelList(_Document, frozen=True, kw_only=True):
    """In the file's order; those that are being removed follow."""

    models: Sequence[Model]


class Operation(_Document, frozen=True, kw_only=True):
    """What was asked of a model. ``error``: why it failed."""

    id: str
    kind: str  # load, unload, drain, restart
    model: str
    state: str  # running, succeeded, failed
    error: ErrorBody | None
    started: str
    finished: str | None


class OperationList(_Document, frozen=True, kw_only=True):
    """The newest first."""

    operations: Sequence[Operation]


class Eviction(_Document, frozen=True, kw_only=True):
    """What was dropped of one model's prefix cache. ``entries``: blocks of a paged cache, or whole prompts."""

    model: str
    entries: int
    bytes: int


class EvictionList(_Document, frozen=True, kw_only=True):
    """Of every model that is ready."""

    evicted: Sequence[Eviction]


class Request(_Document, frozen=True, kw_only=True):
    """One that is there now."""

    id: str  # the one its answer has
    request_id: str  # of the HTTP request
    endpoint: str
    streamed: bool
    stage: str  # loading, waiting, running
    arrived: str
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int


class RequestList(_Document, frozen=True, kw_only=True):
    """In the order they came."""

    model: str
    requests: Sequence[Request]


class Cancelled(_Document, frozen=True, kw_only=True):
    """The request that was ended."""

    model: str
    id: str


# ---- configuration ----


class ConfigDocument(_Document, frozen=True, kw_only=True):
    """The running snapshot, secrets redacted. ``provenance``: each leaf's line in the file, or "default"."""

    path: str
    sha256: str
    config: Mapping[str, Any]
    provenance: Mapping[str, int | Literal["default"]]


class Validation(_Document, frozen=True, kw_only=True):
    """A text that is valid, and the models it configures."""

    valid: Literal[True]
    models: Sequence[str]


class FieldChange(msgspec.Struct, frozen=True, kw_only=True, rename={"reload": "class"}):
    """One field; secrets redacted. ``line`` of the new file, where it stands there."""

    key: str
    before: Any
    after: Any
    reload: str  # live, model, listener, daemon
    line: int | None


class ModelAction(_Document, frozen=True, kw_only=True):
    """What happens to one model."""

    model: str
    action: str  # live, replace, drain_and_replace, load, add, unload
    changes: Sequence[FieldChange]


class ListenerAction(_Document, frozen=True, kw_only=True):
    """What happens to one listener."""

    role: str
    opened: Sequence[str]
    closed: Sequence[str]


class PlanDocument(_Document, frozen=True, kw_only=True):
    """What taking a configuration over does. Models that nothing happens to are left out."""

    models: Sequence[ModelAction]
    listeners: Sequence[ListenerAction]
    live: Sequence[FieldChange]
    refused: Sequence[FieldChange]


class Reload(_Document, frozen=True, kw_only=True):
    """How it ended. ``sha256``: of what runs now. ``models``: why each of these is not what it is to be."""

    result: str  # applied, unchanged, planned, failed, invalid, refused, stale
    sha256: str
    plan: PlanDocument
    problems: Sequence[str]
    models: Mapping[str, str]
    error: ErrorBody | None


# ---- daemon ----


class ConfigState(_Document, frozen=True, kw_only=True):
    """Of the file. ``last_error``: why its newest version is not the running one."""

    path: str
    sha256: str
    loaded: str
    last_reload_successful: bool
    last_error: str | None


class ListenerState(_Document, frozen=True, kw_only=True):
    """One bound address."""

    role: str
    address: str


class Status(_Document, frozen=True, kw_only=True):
    """The whole daemon at a glance. ``time`` is its clock, to count spans from."""

    time: str
    version: str
    pid: int
    started: str
    draining: bool
    config: ConfigState
    listeners: Sequence[ListenerState]
    memory: "MemoryTotals"
    models: Sequence[Model]


class MemoryTotals(_Document, frozen=True, kw_only=True):
    """Of the ledger over all models."""

    limit_bytes: int
    reserved_bytes: int
    free_bytes: int


class ModelMemory(_Document, frozen=True, kw_only=True):
    """``used_bytes``: what its worker really holds, as of its last heartbeat."""

    model: str
    reserved_bytes: int
    used_bytes: int | None


class Memory(_Document, frozen=True, kw_only=True):
    """The ledger, and the machine's RAM."""

    limit_bytes: int
    reserved_bytes: int
    free_bytes: int
    machine_total_bytes: int
    machine_available_bytes: int
    models: Sequence[ModelMemory]


class LogLevel(_Document, frozen=True, kw_only=True):
    """Until the next reload."""

    level: Literal["debug", "info", "warning", "error"]


class Live(_Document, frozen=True, kw_only=True):
    """The event loop runs."""

    live: Literal[True]


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why, or why not. ``models`` only where no token is configured."""

    ready: bool
    draining: bool
    states: Mapping[str, int]  # models that are to be ready, by state
    models: Mapping[str, str] | None = None


def timestamp(unix: float) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
