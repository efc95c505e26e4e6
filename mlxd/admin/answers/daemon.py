"""Of the daemon: its health, its memory, its log."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mlxd.admin.answers.document import Bytes, Count, Document, ListenerRole, Seconds, Sha256, Time
from mlxd.admin.answers.models import Model, WorkerMemory
from mlxd.control.memory.governor import Measure
from mlxd.types import ModelState

PressureName = Literal["normal", "warning", "critical"]


class ConfigState(Document, frozen=True, kw_only=True):
    """The configuration file, and the snapshot of it that runs."""

    path: str
    sha256: Annotated[Sha256, Meta(description="SHA-256 of the file that is the running configuration: its ETag.")]
    loaded: Annotated[Time, Meta(description="When the running configuration was taken over.")]
    last_reload_successful: bool
    last_error: Annotated[str | None, Meta(description="Why the file's newest version is not the running one.")]


class Certificate(Document, frozen=True, kw_only=True):
    """The certificate that connections to a listener are begun with."""

    path: Annotated[str, Meta(description="Its file.")]
    names: Annotated[Sequence[str], Meta(description="Host names and addresses that it is for.")]
    expires: Time
    warnings: Annotated[Sequence[str], Meta(description="What is doubtful about it: that it expires soon, that its key is no secret.")]
    problem: Annotated[str | None, Meta(description="Why the files as they are now are not what is served.")]


class ListenerState(Document, frozen=True, kw_only=True):
    """An address that a listener is bound to."""

    role: ListenerRole
    address: Annotated[str, Meta(description="Such as `127.0.0.1:8000` or `unix:/path`.")]
    certificate: Annotated[Certificate | None, Meta(description="`null`: it speaks plain HTTP.")]


class Turn(Document, frozen=True, kw_only=True):
    """A model that requests wait for, and that needs the place of others."""

    model: Annotated[str, Meta(description="Its id.")]
    needs_bytes: Bytes
    requests: Annotated[Count, Meta(description="Those that wait for it.")]
    waiting_seconds: Annotated[Seconds, Meta(description="Since the first of them came.")]
    expected_seconds: Annotated[Seconds | None, Meta(description="Until it is likely to have its place, the load not counted.")]


class Exchange(Document, frozen=True, kw_only=True):
    """Models that change places, because memory does not hold all of them."""

    turns: Annotated[Sequence[Turn], Meta(description="Those that wait for their turn, the next one first.")]
    closed: Annotated[Sequence[str], Meta(description="Those whose turn is over: they finish what runs and take nothing new.")]


class MemoryTotals(Document, frozen=True, kw_only=True):
    """The ledger over all models."""

    limit_bytes: Annotated[Bytes, Meta(description="`memory.limit`.")]
    reserved_bytes: Bytes
    free_bytes: Bytes
    measures: Annotated[Sequence[Measure], Meta(description="What is done because the machine is short of memory.")]
    exchange: Exchange


class ModelMemory(Document, frozen=True, kw_only=True):
    """One model's part of the ledger."""

    model: Annotated[str, Meta(description="Its id.")]
    reserved_bytes: Bytes
    cache_share_bytes: Annotated[
        Bytes | None,
        Meta(description='Its share of the pool of caches; null where `cache.memory` is not `"auto"`, or it is not loaded.'),
    ]
    used_bytes: Annotated[Bytes | None, Meta(description="What its worker really held at its last heartbeat.")]
    parts: Annotated[WorkerMemory | None, Meta(description="Part by part.")]


class ReliefEntry(Document, frozen=True, kw_only=True):
    """Something that was done because memory was short, or got enough again."""

    time: Time
    measure: Measure
    lifted: Annotated[bool, Meta(description="It does not hold any more; else it was taken.")]
    level: Annotated[PressureName, Meta(description="Of the pressure then.")]
    models: Annotated[Sequence[str], Meta(description="Those that it concerned.")]
    freed_bytes: Annotated[Bytes | None, Meta(description="Null where nobody knows.")]


class Relief(Document, frozen=True, kw_only=True):
    """What mlxd gives back because the machine is short of memory."""

    enabled: Annotated[bool, Meta(description='`memory.pressure` is `"auto"`.')]
    level: Annotated[PressureName | None, Meta(description="How short of memory the machine is, or the container; null: nobody tells.")]
    measures: Annotated[Sequence[Measure], Meta(description="Those that hold now, in the order in which they were taken.")]
    record: Annotated[Sequence[ReliefEntry], Meta(description="The last twenty, newest first.")]


class Memory(Document, frozen=True, kw_only=True):
    """The ledger, the machine's RAM, and what is done while that is short."""

    limit_bytes: Annotated[Bytes, Meta(description="`memory.limit`.")]
    reserved_bytes: Bytes
    excess_bytes: Annotated[Bytes, Meta(description="What workers really hold beyond what is reserved for them: nobody else can have it.")]
    free_bytes: Bytes
    daemon_bytes: Annotated[Bytes, Meta(description="The footprint of the daemon itself, which is no part of the ledger.")]
    machine_total_bytes: Bytes
    machine_available_bytes: Bytes
    relief: Relief
    exchange: Exchange
    models: Sequence[ModelMemory]


class Status(Document, frozen=True, kw_only=True):
    """The whole daemon at a glance."""

    time: Annotated[Time, Meta(description="The daemon's clock, to count spans from.")]
    version: str
    pid: int
    started: Time
    draining: Annotated[bool, Meta(description="It is stopping: running requests finish, new ones are refused.")]
    config: ConfigState
    listeners: Sequence[ListenerState]
    memory: MemoryTotals
    models: Annotated[Sequence[Model], Meta(description="In the file's order; those that are being removed follow.")]


class LogLevel(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, until the next reload."""

    level: Literal["debug", "info", "warning", "error"]


class Live(Document, frozen=True, kw_only=True):
    """The event loop runs."""

    live: Literal[True]


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the daemon should get traffic, and why not."""

    ready: bool
    draining: Annotated[bool, Meta(description="It is stopping.")]
    states: Annotated[Mapping[ModelState, Count], Meta(description="How many of the models that are to be ready are in each state.")]
    models: Annotated[
        Mapping[str, ModelState] | None, Meta(description="The state of each of them; left out where a token is configured.")
    ] = None
