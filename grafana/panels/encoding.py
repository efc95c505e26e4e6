"""Vectors and scores: how much is encoded, how it is asked for, and how much of it goes together."""

from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import mean, model, quantile, rate
from grafana.style import NEUTRAL, TOKENS_PER_SECOND, WARNING, Query, about, areas, colored, heat, lines, percentiles


def requests() -> Panel:
    found = rate(model("mlxd_requests_total", endpoint="embeddings|rerank|score"), "endpoint, outcome")
    return areas("Requests for vectors and scores", units.RequestsPerSecond, Query(found, "{{endpoint}} {{outcome}}")).description(
        about(
            "Requests for vectors and scores that ended, per second, by what was called and how it went.",
            normal="ok, and few of them: a request may have many texts.",
            otherwise="client_error: texts that are too long, or a model of another task; *Refused and failed, by reason* says which.",
        )
    )


def texts() -> Panel:
    found = rate(model("mlxd_step_texts_sum"), "model")
    return areas("Texts encoded by model", "suffix: texts/s", Query(found, "{{model}}")).description(
        about(
            "Texts that were made vectors, and pairs that were scored, per second, as they are computed.",
            normal="High while an index is built, else a few.",
            otherwise="0 while requests run: the engine stands still, or another model has the device.",
        )
    )


def tokens() -> Panel:
    found = rate(model("mlxd_encoded_tokens_total"), "model")
    return areas("Tokens encoded by model", TOKENS_PER_SECOND, Query(found, "{{model}}")).description(
        about(
            "Tokens of these texts, per second, as they are computed.",
            normal="Steady while an index is built, whatever the length of its texts.",
            otherwise="Lower than it was with as many texts in a step: memory is short, or something else uses the GPU.",
        )
    )


def request_texts() -> Panel:
    return percentiles("Texts of a request", units.Short, "mlxd_request_texts").description(
        about(
            "How many texts requests have, of those that began.",
            normal="Dozens or hundreds from what builds an index, 1 from what searches it.",
            otherwise="1 from what builds an index: let it ask for many at once, up to 2,048; fewer requests and fuller steps are faster.",
        )
    )


def step_texts() -> Panel:
    queries = [Query(mean("mlxd_step_texts"), "mean"), Query(quantile(0.95, "mlxd_step_texts"), "p95")]
    return colored(lines("Texts in a step", units.Short, *queries), {"mean": NEUTRAL, "p95": WARNING}).description(
        about(
            "How many texts of about one length each engine step encodes together, of whichever requests.",
            normal="Many short ones, few long ones: a step takes no longer than `batching.target_itl`.",
            otherwise="1 with many texts waiting: they are long, or `target_itl` or `step_tokens` is low.",
        )
    )


def step_texts_heat() -> Heatmap:
    return heat("Texts in a step, all of it", units.Short, "mlxd_step_texts").description(
        about(
            "How many steps encoded how many texts.",
            normal="A wide band while an index is built; a low one of searches.",
            otherwise="Only low cells while much waits: see *Texts in a step*.",
        )
    )
