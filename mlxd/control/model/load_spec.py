"""From a model's table of the configuration to what its worker gets."""

from typing import Literal

import msgspec

from mlxd.adapter_terms import AdapterSpec
from mlxd.cache_terms import PinnedPrompt
from mlxd.config.adapter_table import AdapterTable
from mlxd.config.disk_checks import is_paged
from mlxd.config.model_sources import used_draft
from mlxd.config.schema import ModelTable
from mlxd.disk_terms import DiskSettings
from mlxd.types import Limits, ReasoningShape, SpeculationKind, Task, ToolShape
from mlxd.wire.messages import Load


def load_spec(name: str, model: ModelTable) -> Load:
    """Returns what the worker is started with."""
    cache_kind = _cache_kind(model)
    return Load(
        model=name,
        source=model.source,
        dtype=model.dtype,
        context_length=model.context_length,
        mode=model.batching.mode,
        cache_kind=cache_kind,
        block_size=model.cache.block_size,
        compile=model.batching.compile,
        limits=limits(model),
        heartbeat_interval=model.worker.heartbeat_interval,
        tools=None if model.output.tools == "auto" else ToolShape(model.output.tools),
        draft=used_draft(model),
        attention=model.batching.attention,
        kv_wish=model.cache.dtype if cache_kind == "paged" else "auto",
        task=None if model.task == "auto" else Task(model.task),
        reasoning=None if model.output.reasoning == "auto" else ReasoningShape(model.output.reasoning),
    )


def worker_spec(load: Load) -> Load:
    """Returns what only a new worker can change. Equal specs need no new worker, whatever their limits."""
    return msgspec.structs.replace(load, limits=Limits())


def limits(model: ModelTable) -> Limits:
    """Returns what may change while the worker runs."""
    batching, cache = model.batching, model.cache
    return Limits(
        max_queue=batching.max_queue,
        stream_interval=batching.stream_interval,
        max_sequences=batching.max_sequences,
        step_tokens=None if batching.step_tokens == "auto" else batching.step_tokens,
        target_itl=batching.target_itl,
        priority_ageing=batching.priority_ageing,
        cache_bytes=cache.memory.size,
        cache_fraction=cache.memory.fraction,
        media_bytes=cache.media.size,
        media_fraction=cache.media.fraction or 0.0,
        cache_entries=cache.max_entries,
        speculation=SpeculationKind(model.speculation.kind),
        draft_tokens=model.speculation.max_tokens,
        disk=_disk(model),
        pins=_pins(model),
        adapters=tuple(_adapter(name, table) for name, table in model.adapters.items()),
        adapter_bytes=model.adapter_memory if model.adapters else 0,
    )


def _disk(model: ModelTable) -> DiskSettings | None:
    disk = model.cache.disk
    if not disk.path or not is_paged(model):
        return None
    return DiskSettings(path=disk.path, limit=disk.limit, write_budget=disk.write_budget)


def _adapter(name: str, table: AdapterTable) -> AdapterSpec:
    return AdapterSpec(name=name, source=table.source, load=table.load, pin=table.pin)


def _pins(model: ModelTable) -> tuple[PinnedPrompt, ...]:
    if not is_paged(model):
        return ()
    special = model.input.special_tokens
    return tuple(PinnedPrompt(name=pin.name, text=pin.prompt_file.text, form=pin.form, special_tokens=special) for pin in model.cache.pin)


def _cache_kind(model: ModelTable) -> Literal["paged", "entries", "none"]:
    if model.encodes:
        return "none"
    if model.cache.kind != "auto":
        return model.cache.kind
    return "paged" if model.batching.mode == "continuous" else "entries"
