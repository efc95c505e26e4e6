"""Keys and values: how full the cache is, and what it saves."""

from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import model, rate, share, total
from grafana.style import BAD, GOOD, NEUTRAL, QUIET, WARNING, Query, about, areas, bars, colored, lines


def blocks() -> Panel:
    used, shared, cached, free = (total(model("mlxd_kv_blocks", state=state)) for state in ("used", "shared", "cached", "free"))
    colors = {"used by one": WARNING, "used by several": NEUTRAL, "kept for later": GOOD, "free": QUIET}
    queries = [Query(expression, name) for name, expression in zip(colors, (f"{used}\n-\n{shared}", shared, cached, free), strict=True)]
    return colored(areas("Blocks", units.Short, *queries), colors).description(
        about(
            "Blocks of the paged caches: held by one running request, by several, kept for prompts to come, and free.",
            normal="Free shrinks in the first minutes and stays at 0: what is kept for later gives way when room is needed.",
            otherwise="All used: preemptions. Raise `cache.memory` or lower `max_sequences`.",
        )
    )


def hit_rate() -> Panel:
    found = rate(model("mlxd_prefix_cache_hit_tokens_total"), "model")
    looked_for = rate(model("mlxd_prefix_cache_query_tokens_total"), "model")
    return (
        lines("Prompt tokens found in the cache", units.PercentUnit, Query(share(found, looked_for), "{{model}}"))
        .max(1)
        .description(
            about(
                "Share of the prompt tokens that the prefix cache had.",
                normal="High for chats and shared system prompts; 0 for prompts that share nothing.",
                otherwise="Lower than it was: prompts begin differently (a date, a name?), or the cache is too small: *Evicted blocks*.",
            )
        )
    )


def lookups() -> Panel:
    panel = areas(
        "Lookups by outcome", units.RequestsPerSecond, Query(rate(model("mlxd_prefix_cache_lookups_total"), "outcome"), "{{outcome}}")
    )
    return colored(panel, {"hit": GOOD, "prefix_hit": NEUTRAL, "miss": QUIET}).description(
        about(
            "Requests by what the prefix cache had: the whole prompt, a beginning of it, nothing.",
            normal="`prefix_hit` is what chats give; `miss` is every first prompt.",
            otherwise="As for the tokens found.",
        )
    )


def size() -> Panel:
    named = {"held": "mlxd_kv_bytes", "pinned": "mlxd_kv_pinned_bytes", "saved by sharing": "mlxd_kv_bytes_saved_by_sharing"}
    queries = [Query(total(model(metric)), name) for name, metric in named.items()]
    colors = {"held": NEUTRAL, "pinned": QUIET, "saved by sharing": GOOD}
    return colored(lines("Keys and values", units.BytesIEC, *queries), colors).description(
        about(
            "Memory of keys and values, for running requests and for later ones; what of it is pinned; and what copies of the shared "
            "blocks would take on top.",
            normal="Held grows to `cache.memory` and stays there.",
            otherwise="Nothing saved with many users under one system prompt: their prompts differ somewhere in its beginning.",
        )
    )


def preemptions() -> Panel:
    found = rate(model("mlxd_preemptions_total"), "model, reason")
    panel = bars("Preemptions", units.EventsPerSecond, Query(found, "{{model}}: {{reason}}"))
    return panel.description(
        about(
            "Sequences that gave their blocks back to make room for others, per second. They are computed again later.",
            normal="None.",
            otherwise="The cache is too small for so many sequences: raise `cache.memory` or lower `max_sequences`.",
        )
    )


def evictions() -> Panel:
    panel = bars("Evicted blocks", units.EventsPerSecond, Query(rate(model("mlxd_cache_evicted_blocks_total"), "reason"), "{{reason}}"))
    return colored(panel, {"room": NEUTRAL, "operator": BAD}).description(
        about(
            "Blocks kept for later prompts that were dropped, per second: to make `room`, or by an `operator` (`mlxd evict`).",
            normal="Some, once the cache is full.",
            otherwise="Many, with few hits: the cache is too small for what comes back.",
        )
    )
