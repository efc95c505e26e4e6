"""What the models are doing: their states over time, and one line for each."""

from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.promql import increase, increase_shown, mean, model, quantile, rate, share, total
from grafana.style import BAD, GOOD, NEUTRAL, QUIET, TOKENS_PER_SECOND, WARNING, Query, about, bars, grid, lines, texts, timeline

EACH = "instance, model"
STATES = texts((0, "STOPPED", QUIET), (1, "READY", GOOD), (2, "LOADING", NEUTRAL), (3, "DRAINING", WARNING), (4, "FAILED", BAD))
_CODES = {"ready": 1, "loading": 2, "draining": 3, "failed": 4}


def state_code() -> str:
    """One number for each model, as in ``STATES``; of the series of its states, one is 1 and the others are 0."""
    states = (f"{code} * {model('mlxd_model_state', state=state)}" for state, code in _CODES.items())
    return total("\n  " + "\n  or ".join(states) + "\n", EACH)


def states() -> StateTimeline:
    return (
        timeline("States", Query(state_code(), "{{model}}"), STATES)
        .span(16)
        .description(
            about(
                "What each model was doing, and when.",
                normal="READY throughout; LOADING after a reload that changes it, or on demand.",
                otherwise="LOADING and READY in turns is a worker that crashes. FAILED stays until `mlxd restart MODEL` or a reload.",
            )
        )
    )


def restarts() -> TimeSeries:
    counted = increase(model("mlxd_worker_restarts_total"), "model, reason")
    return bars("Restarts", units.Short, Query(f"{counted} > 0", "{{model}}: {{reason}}")).description(
        about(
            "Workers that ended unasked and were replaced, by reason, within each interval.",
            normal="No bars.",
            otherwise="`crash`: the log says how it ended; killed by the system, it was memory. `hang`: a step took too long.",
        )
    )


def load_time() -> TimeSeries:
    seconds = mean("mlxd_model_load_seconds", "model")
    return (
        lines("Load time", units.Seconds, Query(seconds, "{{model}}"))
        .show_points(options.VisibilityMode.ALWAYS)
        .point_size(8)
        .description(
            about(
                "From starting a worker to its being ready. Nothing where nothing was loaded, or before Prometheus first looked.",
                normal="Seconds for small models, a minute for the largest.",
                otherwise="A slow disk, or memory that is short.",
            )
        )
    )


def overview() -> Table:
    whole = total(model("mlxd_kv_blocks", state="used|cached|free"), EACH)
    hits = share(rate(model("mlxd_prefix_cache_hit_tokens_total"), EACH), rate(model("mlxd_prefix_cache_query_tokens_total"), EACH))
    panel = grid(
        "Every model",
        Query(state_code(), "State"),
        Query(f"max by ({EACH}, runner, fallback) ({model('mlxd_model_runner')})", "Runners"),
        Query(total(model("mlxd_requests_running"), EACH), "Running"),
        Query(total(model("mlxd_requests_waiting"), EACH), "Waiting"),
        Query(quantile(0.95, "mlxd_time_to_first_token_seconds", EACH), "TTFT p95"),
        Query(rate(model("mlxd_step_tokens_sum"), EACH), "Tokens"),
        Query(share(total(model("mlxd_kv_blocks", state="used"), EACH), whole), "KV in use"),
        Query(hits, "From cache"),
        Query(total(model("mlxd_worker_memory_bytes", kind="held"), EACH), "Memory"),
        Query(increase_shown(model("mlxd_worker_restarts_total"), EACH), "Restarts"),
    )
    for column, properties in _COLUMNS.items():
        panel.override_by_name(column, [DynamicConfigValue(name, value) for name, value in properties.items()])
    return panel.decimals(0).description(
        about(
            "Each model now; a click on its name shows it in depth. Restarts are of the time the dashboard shows.",
            normal="READY, with few waiting.",
            otherwise="Sort by a column to find the model that is in trouble. A fallback runner is one that was not asked for.",
        )
    )


_LINK = {
    "title": "This model in depth",
    "url": "/d/mlxd-models?${datasource:queryparam}&${job:queryparam}&var-model=${__value.text}&${__url_time_range}",
}
_COLUMNS: dict[str, dict[str, object]] = {
    "model": {"links": [_LINK], "displayName": "Model"},
    "instance": {"displayName": "Instance"},
    "runner": {"displayName": "Runner"},
    "fallback": {"displayName": "Fallback"},
    "Runners": {"custom.hidden": True},
    "State": {"mappings": [STATES], "custom.cellOptions": {"type": "color-text"}},
    "TTFT p95": {"unit": units.Seconds, "decimals": 2},
    "Tokens": {"unit": TOKENS_PER_SECOND},
    "KV in use": {"unit": units.PercentUnit},
    "From cache": {"unit": units.PercentUnit},
    "Memory": {"unit": units.BytesIEC, "decimals": 1},
}
