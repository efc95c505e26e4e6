"""How well requests are served: what was promised, what came of them, and why some were not."""

from grafana_foundation_sdk.builders.stat import Panel as Tile
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import increase_shown, model, or_zero, rate, share, total
from grafana.style import BAD, GOOD, NEUTRAL, NOTICE, QUIET, WARNING, Query, about, areas, bars, colored, lines, steps, tile

OUTCOMES = {"ok": GOOD, "client_error": NEUTRAL, "error": BAD, "aborted": QUIET}
# What is promised: an upper bound that is a bucket's, as the exposition writes it.
_TTFT, _ITL = ("mlxd_time_to_first_token_seconds", "2.5"), ("mlxd_inter_token_latency_seconds", "0.1")


def ttft_kept() -> Tile:
    return _kept("First token within 2.5 s", _TTFT).description(
        about(
            "Share of the requests whose first token came within 2.5 s of their arrival, in the time the dashboard shows.",
            normal="99 % and more, if that is what you promise.",
            otherwise="*Where the time goes*: a queue wants less load or more sequences; prefill wants shorter prompts or a warmer cache.",
        )
    )


def itl_kept() -> Tile:
    return _kept("Next token within 100 ms", _ITL).description(
        about(
            "Share of the steps in which no stream waited longer than 100 ms for its next token, in the time the dashboard shows.",
            normal="99 % and more, on a machine that is fast enough for the model.",
            otherwise="*Time of a step* and *Sequences in a step*: smaller batches are faster ones. Long prompts: lower `target_itl`.",
        )
    )


def _kept(title: str, promise: tuple[str, str]) -> Tile:
    histogram, bound = promise
    within = increase_shown(model(f"{histogram}_bucket", le=bound))
    kept = share(within, increase_shown(model(f"{histogram}_count")))
    return tile(title, units.PercentUnit, Query(kept)).thresholds(steps(BAD, (0.95, WARNING), (0.99, GOOD))).decimals(2)


def kept_over_time() -> Panel:
    queries = [
        Query(share(rate(model(f"{histogram}_bucket", le=bound)), rate(model(f"{histogram}_count"))), name)
        for name, (histogram, bound) in {"first token within 2.5 s": _TTFT, "next token within 100 ms": _ITL}.items()
    ]
    return (
        lines("In time", units.PercentUnit, *queries)
        .max(1)
        .description(
            about(
                "The same two shares over time. Gaps: no requests.",
                normal="At the top.",
                otherwise="What else happened then? Reloads and restarts are marked; compare with *Running and waiting*.",
            )
        )
    )


def by_outcome() -> Panel:
    panel = areas("Requests by outcome", units.RequestsPerSecond, Query(rate(model("mlxd_requests_total"), "outcome"), "{{outcome}}"))
    return colored(panel, OUTCOMES).description(
        about(
            "Requests that ended, per second. `client_error`: wrong requests; `error`: ours; `aborted`: the client went away.",
            normal="Nearly all green.",
            otherwise="Red: see the reasons. Much grey: clients give up, perhaps because they wait too long.",
        )
    )


def by_endpoint() -> Panel:
    return areas(
        "Requests by endpoint", units.RequestsPerSecond, Query(rate(model("mlxd_requests_total"), "endpoint"), "{{endpoint}}")
    ).description(
        about(
            "Requests that ended, per second, by what was called.",
            normal="As your clients are.",
            otherwise="A client that changed its ways.",
        )
    )


def by_model() -> Panel:
    return areas("Requests by model", units.RequestsPerSecond, Query(rate(model("mlxd_requests_total"), "model"), "{{model}}")).description(
        about(
            "Requests that ended, per second. `_unknown`: for no configured model.",
            normal="As your clients are.",
            otherwise="Much `_unknown`: a client with the wrong name, or a model that a reload took away.",
        )
    )


def refused() -> Panel:
    refusals = rate(model("mlxd_request_rejections_total"), "reason")
    return bars("Refused and failed, by reason", units.RequestsPerSecond, Query(f"{refusals} > 0", "{{reason}}")).description(
        about(
            "Error answers per second, by their code.",
            normal="Few, and mistakes of clients: `invalid_request`, `model_not_found`.",
            otherwise="`queue_full`: too much load. `insufficient_memory`, `cache_too_small`: a model or prompt too large. "
            "`worker_lost`, `model_failed`: see the models. `invalid_api_key`: a client without the key, or somebody trying.",
        )
    )


def running_and_waiting() -> Panel:
    waiting, running = (or_zero(total(model(f"mlxd_requests_{what}"))) for what in ("waiting", "running"))
    panel = lines("Running and waiting", units.Short, Query(running, "running"), Query(waiting, "waiting"))
    return colored(panel, {"running": GOOD, "waiting": NOTICE}).description(
        about(
            "Requests being computed, and requests in the queue.",
            normal="Waiting near 0.",
            otherwise="Only grows: more comes than can be served. Waiting with none running: a model that loads, or stands still.",
        )
    )
