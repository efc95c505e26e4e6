"""``GET /admin/v1/models`` and ``…/models/{id}``: desired and actual state of the models, and what they hold."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from mlxd.admin.keys import SOURCES, AdminSources
from mlxd.control.model_state import ModelStatus
from mlxd.control.telemetry import CacheCounters
from mlxd.types import CacheFigures
from mlxd.wire.messages import Heartbeat, Progress, Ready


async def list_all(request: web.Request) -> web.Response:
    """All configured models."""
    return web.json_response({"models": describe_all(request.app[SOURCES])})


async def show(request: web.Request) -> web.Response:
    """One model, by id or alias. Raises ``ModelNotFoundError``."""
    sources = request.app[SOURCES]
    status = sources.models.status(sources.models.resolve(request.match_info["id"]))
    return web.json_response(describe(status, sources.cache_counters(status.name)))


def describe_all(sources: AdminSources) -> list[dict[str, Any]]:
    """One object for each model, in the file's order."""
    return [describe(status, sources.cache_counters(status.name)) for status in sources.models.statuses()]


def describe(status: ModelStatus, counters: CacheCounters) -> dict[str, Any]:
    """A model as JSON. What is unknown while no worker is ready is null; sizes are bytes, spans seconds."""
    return {
        "id": status.name,
        "aliases": list(status.config.aliases),
        "source": status.config.source,
        "desired_state": status.desired,
        "state": status.state,
        "since": timestamp(status.since),
        "pid": status.pid,
        "progress": _progress(status.progress),
        "restarts": status.restarts,
        "restart_in_seconds": status.restart_in,
        "last_error": status.last_error,
        "requests": {"running": status.running, "waiting": status.waiting},
        "memory": None if status.heartbeat is None else _with_unit(status.heartbeat),
        "cache": _cache(status, counters),
        "limits": None if status.limits is None else msgspec.structs.asdict(status.limits),
        **_engine(status.ready),
    }


def timestamp(unix: float) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _progress(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    share = min(1.0, progress.done / progress.total) if progress.total else None
    return {"stage": progress.stage, "done_bytes": progress.done, "total_bytes": progress.total, "fraction": share}


def _with_unit(heartbeat: Heartbeat) -> dict[str, int]:
    return {f"{kind}_bytes": size for kind, size in msgspec.structs.asdict(heartbeat.memory).items()}


def _cache(status: ModelStatus, counters: CacheCounters) -> dict[str, Any]:
    """What the prefix cache holds and has done. ``used``: by running requests; ``cached``: for later ones."""
    figures = status.heartbeat.cache if status.heartbeat else None
    paged = figures is not None and status.ready is not None and status.ready.runner == "paged"
    return {
        "kind": status.config.cache.kind,
        "blocks": _blocks(figures) if figures is not None and paged else None,
        "entries": None if figures is None or paged else figures.entries,
        "snapshots": figures.snapshots if figures else None,
        "used_bytes": figures.bytes_used if figures else None,
        "cached_bytes": figures.bytes_cached if figures else None,
        "saved_bytes": figures.bytes_saved if figures else None,
        "limit_bytes": figures.limit_bytes if figures else None,
        "query_tokens": counters.query_tokens,
        "hit_tokens": counters.hit_tokens,
        "lookups": {"hit": counters.hits, "prefix_hit": counters.prefix_hits, "miss": counters.misses},
    }


def _blocks(figures: CacheFigures) -> dict[str, int]:
    return {
        "used": figures.blocks_used,
        "shared": figures.blocks_shared,
        "cached": figures.blocks_cached,
        "free": figures.blocks_free,
    }


def _engine(ready: Ready | None) -> dict[str, Any]:
    """What the worker decided when it loaded."""
    return {
        "runner": {"name": ready.runner, "reason": ready.runner_reason, "fallback": ready.is_fallback} if ready else None,
        "device": ready.device if ready else None,
        "dtype": ready.dtype if ready else None,
        "context_length": ready.context_length if ready else None,
        "vocabulary_size": ready.vocab_size if ready else None,
        "load_seconds": ready.load_seconds if ready else None,
        "versions": ready.versions if ready else None,
    }
