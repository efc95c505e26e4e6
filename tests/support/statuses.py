"""Model statuses, heartbeats and sources of the admin API, made up for tests."""

from mlxd.admin.keys import AdminSources, DaemonFacts, ListenerFacts, RunningConfig
from mlxd.config.schema import ModelTable
from mlxd.control.model_state import ModelStatus
from mlxd.control.telemetry import CacheCounters
from mlxd.errors import ModelNotFoundError
from mlxd.types import CacheFigures, Limits, MemoryFigures, ModelState
from mlxd.wire.messages import Heartbeat, Ready

SHA256 = "5e" * 32
SINCE = 1_767_323_045.5  # 2026-01-02T03:04:05.500Z

MEMORY = MemoryFigures(weights=100, kv=20, mlx_active=130, mlx_cache=7, mlx_peak=200, rss=300)
CACHE = CacheFigures(bytes_used=5, bytes_cached=15, limit_bytes=1000, entries=3)
PAGED_CACHE = CacheFigures(
    blocks_used=6, blocks_shared=2, blocks_cached=3, blocks_free=7, bytes_used=60, bytes_cached=30, bytes_saved=40, limit_bytes=160
)
HEARTBEAT = Heartbeat(running=1, waiting=2, steps=9, busy_seconds=0.0, memory=MEMORY, cache=CACHE)
READY = Ready(
    runner="simple",
    runner_reason='batching.mode = "simple"',
    device="cpu",
    dtype="float32",
    context_length=2048,
    vocab_size=49152,
    weight_bytes=100,
    limits=Limits(),
    load_seconds=1.5,
    versions={"mlx": "0.32.4", "mlx_lm": "0.32.2"},
)


def model_status(name="tiny", state=ModelState.READY, *, aliases=(), **fields):
    table = ModelTable(source="builtin:smollm2-135m", aliases=aliases)
    return ModelStatus(name=name, config=table, state=state, since=SINCE, created=int(SINCE), **fields)


def running_status(name="tiny", **fields):
    return model_status(name, **{"pid": 42, "ready": READY, "heartbeat": HEARTBEAT, "running": 1, "waiting": 2, **fields})


class FakeModels:
    """A registry whose statuses the test sets."""

    def __init__(self, *statuses):
        self.all = list(statuses)

    def statuses(self):
        return list(self.all)

    def resolve(self, name):
        for status in self.all:
            if name in (status.name, *status.config.aliases):
                return status.name
        raise ModelNotFoundError(f'no model is named "{name}"', param="model")

    def status(self, name):
        return next(status for status in self.all if status.name == name)


class FakeDaemon:
    """Everything the admin API asks for; tests change the attributes."""

    def __init__(self, *statuses):
        self.models = FakeModels(*statuses)
        self.draining = False
        self.config_error = None
        self.registry = None
        self.counters = CacheCounters()

    @property
    def sources(self):
        return AdminSources(
            models=self.models,
            config=lambda: RunningConfig(
                path="/etc/mlxd.toml",
                sha256=SHA256,
                loaded=SINCE,
                document={"sha256": SHA256, "config": {"admin": {"token": "<redacted>"}}},
                last_error=self.config_error,
            ),
            daemon=lambda: DaemonFacts(
                pid=41, started=SINCE, draining=self.draining, listeners=(ListenerFacts(role="inference", address="127.0.0.1:8000"),)
            ),
            cache_counters=lambda _: self.counters,
            metrics=lambda: self.registry,
        )
