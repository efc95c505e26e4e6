"""Adapters: how much each is asked for, whether it is loaded, and what those that are loaded take."""

from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import model, rate, total
from grafana.style import TOKENS_PER_SECOND, Query, about, areas, bars, lines

_LEGEND = "{{model}}:{{adapter}}"


def tokens() -> Panel:
    found = rate(model("mlxd_adapter_generation_tokens_total"), "model, adapter")
    return areas("Tokens by adapter", TOKENS_PER_SECOND, Query(found, _LEGEND)).description(
        about(
            "Tokens generated with each adapter, of requests that are over.",
            normal="As your users are. What was generated without one is in the row above.",
            otherwise="None where some are expected: clients ask for the model itself.",
        )
    )


def requests() -> Panel:
    found = rate(model("mlxd_adapter_requests_total"), "model, adapter, outcome")
    return bars("Requests by adapter", units.RequestsPerSecond, Query(found, f"{_LEGEND} {{{{outcome}}}}")).description(
        about(
            "Requests that asked for an adapter, per second, by their outcome.",
            normal="ok.",
            otherwise="error: the adapter cannot be used, or there is no room for it; `mlxd status MODEL` says why.",
        )
    )


def running() -> Panel:
    found = total(model("mlxd_adapter_requests_running"), "model, adapter")
    return lines("Under way by adapter", units.Short, Query(found, _LEGEND)).description(
        about(
            "Requests that run or wait with each adapter: one that has any stays loaded.",
            normal="Together fewer than the sequences of a batch.",
            otherwise="More adapters are asked for at once than adapter_memory holds: requests wait for each other.",
        )
    )


def memory() -> Panel:
    found = total(model("mlxd_adapter_bytes"), "model, adapter")
    return areas("Memory of adapters", units.BytesIEC, Query(found, _LEGEND)).description(
        about(
            "What each adapter takes that is loaded. Together they take no more than adapter_memory.",
            normal="Those that are asked for are there.",
            otherwise="They come and go: raise adapter_memory, or pin those that must answer at once.",
        )
    )


def changes() -> Panel:
    loads = rate(model("mlxd_adapter_loads_total"), "model, adapter")
    evictions = rate(model("mlxd_adapter_evictions_total"), "model, adapter")
    queries = (Query(loads, f"{_LEGEND} loaded"), Query(evictions, f"{_LEGEND} evicted"))
    return bars("Adapters loaded and evicted", units.OpsPerSecond, *queries).description(
        about(
            "How often adapters are loaded, and unloaded to make room for others, per second.",
            normal="None, once those that are asked for are loaded.",
            otherwise="Each load makes its requests wait: raise adapter_memory.",
        )
    )


def failed() -> Panel:
    found = total(model("mlxd_adapter_state", state="failed"), "model, adapter")
    return lines("Adapters that cannot be used", units.Short, Query(found, _LEGEND)).description(
        about(
            "1 for an adapter that cannot be used. Its model answers all the same, and so do its other adapters.",
            normal="0.",
            otherwise="`mlxd status MODEL` says what is wrong with its files; once they are right, `mlxd load MODEL --adapter NAME`.",
        )
    )
