"""Memory: what is reserved, and what is held."""

from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.promql import daemon, model, total
from grafana.style import BAD, GOOD, NEUTRAL, WARNING, Query, about, areas, lines, texts, timeline

PRESSURE = texts((0, "NORMAL", GOOD), (1, "WARNING", WARNING), (2, "CRITICAL", BAD))


def pressure() -> StateTimeline:
    found = Query(f"max by (instance) ({daemon('mlxd_memory_pressure_level')})", "{{instance}}")
    return timeline("Memory pressure over time", found, PRESSURE).description(
        about(
            "How short of memory each machine was, by its own account.",
            normal="NORMAL throughout.",
            otherwise="Swapping makes every step slow. Lower `memory.limit` or `cache.memory`, or unload a model.",
        )
    )


def reserved() -> Panel:
    queries = [
        Query(total(daemon("mlxd_memory_reserved_bytes"), "instance"), "reserved, {{instance}}"),
        Query(total(daemon("mlxd_memory_limit_bytes"), "instance"), "limit, {{instance}}"),
    ]
    dashed = DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})
    return (
        lines("Reserved, and the limit", units.BytesIEC, *queries)
        .override_by_regexp("/^limit/", [dashed, _fixed(BAD)])
        .override_by_regexp("/^reserved/", [_fixed(NEUTRAL)])
        .description(
            about(
                "What is reserved for the models that are loaded or loading, and `memory.limit`.",
                normal="Below the limit.",
                otherwise="Near it, another model will not be loaded (`insufficient_memory`): unload one, or raise the limit.",
            )
        )
    )


def by_model() -> Panel:
    queries = [
        Query(total(model("mlxd_worker_memory_bytes", kind="rss"), "model"), "{{model}}"),
        Query(total(daemon("process_resident_memory_bytes")), "daemon"),
    ]
    return areas("Resident memory by model", units.BytesIEC, *queries).description(
        about(
            "Memory of each model's worker as the system counts it, as of its last heartbeat; and the daemon's own.",
            normal="Flat once the caches are full.",
            otherwise="One that only grows: `mlxd restart MODEL`, and tell us. A Mac counts the GPU's under *by kind*, not here.",
        )
    )


def by_kind() -> Panel:
    return lines(
        "Workers' memory by kind", units.BytesIEC, Query(total(model("mlxd_worker_memory_bytes"), "kind"), "{{kind}}")
    ).description(
        about(
            "What the workers hold: `weights` and `kv` are part of `mlx_active`; `mlx_cache` is what MLX keeps to use again; "
            "`mlx_peak` is the most so far.",
            normal="`weights` flat, `kv` up to `cache.memory`, `mlx_peak` not far above `mlx_active`.",
            otherwise="A high `mlx_peak`: prompt chunks are large. A high `mlx_cache`: it goes back under pressure.",
        )
    )


def _fixed(color: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})
