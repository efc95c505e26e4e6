"""Looks at a daemon, made up."""

from datetime import UTC, datetime, timedelta

import msgspec

from mlxd.admin.models import describe_all
from mlxd.control.telemetry import CacheCounters, HistogramCounts, TokenCounters
from mlxd.terminal.top.history import History, Look
from mlxd.types import MemoryFigures
from mlxd.wire.messages import Heartbeat
from tests.support.statuses import PAGED_CACHE, READY, SHA256, FakeDaemon, running_status

MIB = 2**20
BEGAN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
UP = timedelta(hours=3, minutes=12)
HEARTBEAT = Heartbeat(
    running=1, waiting=2, steps=1, busy_seconds=0, memory=MemoryFigures(kv=5 * MIB, mlx_active=600 * MIB, rss=812 * MIB), cache=PAGED_CACHE
)
PAGED = running_status("smollm2", aliases=("default",), heartbeat=HEARTBEAT, ready=msgspec.structs.replace(READY, runner="paged"))


def status_of(*models, pid=4321, up=UP, config_error=None, draining=False, **counters):
    daemon = FakeDaemon(*models)
    daemon.tokens = counters.get("tokens", TokenCounters())
    daemon.counters = counters.get("cache", CacheCounters())
    daemon.first_tokens = HistogramCounts((0.1, 1.0), counters.get("first_tokens", (0, 0, 0)))
    return {
        "time": (BEGAN + up).isoformat(),
        "version": "0.1.0",
        "pid": pid,
        "started": BEGAN.isoformat(),
        "draining": draining,
        "config": {
            "path": "/etc/mlxd/mlxd.toml",
            "sha256": SHA256,
            "loaded": BEGAN.isoformat(),
            "last_reload_successful": config_error is None,
            "last_error": config_error,
        },
        "listeners": [],
        "memory": {
            "limit_bytes": 18 * 1024 * MIB,
            "reserved_bytes": 9 * 1024 * MIB,
            "free_bytes": 9 * 1024 * MIB,
            "measures": [],
            "exchange": {"turns": [], "closed": []},
        },
        "models": msgspec.to_builtins(describe_all(daemon.sources)),
    }


def request(identity, tokens=0, **fields):
    return {
        "id": identity,
        "endpoint": "chat_completions",
        "key": "anonymous",
        "stage": "running",
        "arrived": (BEGAN + UP - timedelta(seconds=12)).isoformat(),
        "prompt_tokens": 1234,
        "cached_tokens": 208,
        "completion_tokens": tokens,
    } | fields


def look(at, generated=0, *models, prompt=0, requests=(), **more):
    status = status_of(*(models or (PAGED,)), tokens=TokenCounters(prompt=prompt, generated=generated), **more)
    return Look(at=at, status=status, model=status["models"][0]["id"], requests=requests)


def history(*looks):
    made = History()
    for one in looks:
        made = made.after(one)
    return made
