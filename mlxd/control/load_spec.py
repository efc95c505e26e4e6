"""A model's table of the configuration to the ``Load`` its worker gets."""

from typing import Literal

from mlxd.config.schema import LogTable, ModelTable
from mlxd.wire.messages import Load


def load_spec(name: str, model: ModelTable, log: LogTable) -> Load:
    """Simple mode only, so far: the schema refuses the rest."""
    kind: Literal["entries", "none"] = "none" if model.cache.kind == "none" else "entries"
    return Load(
        model=name,
        source=model.source,
        dtype=model.dtype,
        context_length=model.context_length,
        mode="simple",
        max_queue=model.batching.max_queue,
        stream_interval=model.batching.stream_interval,
        cache_kind=kind,
        cache_bytes=model.cache.memory.size,
        cache_fraction=model.cache.memory.fraction,
        cache_max_entries=model.cache.max_entries,
        heartbeat_interval=model.worker.heartbeat_interval,
        log_level=log.level,
    )
