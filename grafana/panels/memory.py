"""Memory: what is reserved, and what is held."""

from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.promql import daemon, increase, model, total
from grafana.style import BAD, GOOD, NEUTRAL, WARNING, Query, about, areas, lines, texts, timeline

PARTS = "weights|kv|states|snapshots|media|draft|adapters|grammars|disk|transients|other"
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
        Query(total(model("mlxd_worker_memory_bytes", kind="held"), "model"), "{{model}}"),
        Query(total(daemon("process_resident_memory_bytes")), "daemon"),
    ]
    return areas("Memory by model", units.BytesIEC, *queries).description(
        about(
            "What each model's worker holds, the GPU's memory included, as of its last heartbeat; and the daemon.",
            normal="Flat once the caches are full.",
            otherwise="One that only grows: `mlxd restart MODEL`, and tell us.",
        )
    )


def by_kind() -> Panel:
    found = Query(total(model("mlxd_worker_memory_bytes", kind=PARTS), "kind"), "{{kind}}")
    return areas("Workers' memory by kind", units.BytesIEC, found).description(
        about(
            "What the workers hold, part by part: `transients` are what steps compute with and MLX keeps to use again, `other` is the rest "
            "of the processes.",
            normal="`weights` and `other` flat, `kv` up to `cache.memory`.",
            otherwise="High `transients`: prompt chunks are large. `other` that only grows: `mlxd restart MODEL`, and tell us.",
        )
    )


def relief() -> Panel:
    queries = [
        Query(f"max by (instance) ({daemon('mlxd_memory_relief_measures')})", "measures that hold, {{instance}}"),
        Query(increase(daemon("mlxd_memory_relief_total"), "measure"), "{{measure}}"),
    ]
    return lines("Given back for want of memory", units.Short, *queries).description(
        about(
            "Measures taken because the machine was short of memory, and how many hold.",
            normal="None.",
            otherwise="From the fifth on, large prompts wait or are refused; from the sixth, models are unloaded. End other programs.",
        )
    )


def exchanges() -> Panel:
    queries = [
        Query(increase(model("mlxd_model_exchanges_total"), "model"), "{{model}} gave way"),
        Query(total(model("mlxd_requests_awaiting_model"), "model"), "requests waiting for {{model}}"),
        Query(increase(model("mlxd_model_turn_wait_seconds_sum"), "model"), "seconds waited for {{model}}"),
    ]
    return lines("Models that change places", units.Short, *queries).description(
        about(
            "Models unloaded to make room for others, requests that wait until their model is loaded, and the seconds that loads "
            "waited for their turn.",
            normal="None: all that are asked for fit.",
            otherwise="Models change places all the time: raise `memory.limit`, use smaller ones, or let each stay longer "
            "(`lifecycle.residence`).",
        )
    )


def _fixed(color: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})
