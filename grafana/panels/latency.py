"""How long things take, for whom, and where the time goes."""

from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import model, quantile, rate, share
from grafana.style import GOOD, NEUTRAL, WARNING, Query, about, areas, colored, heat, lines, percentiles

_BANDS = "One band says all requests are alike; two bands, that there are two kinds: hits and misses of the cache, short and long prompts."


def time_to_first_token() -> Panel:
    return percentiles("Time to first token", units.Seconds, "mlxd_time_to_first_token_seconds").description(
        about(
            "From a request's arrival to its first token: half of them, 95 % and 99 % are faster.",
            normal="p95 below 2.5 s.",
            otherwise="*Where the time goes* says whether they queue or compute prompts.",
        )
    )


def inter_token_latency() -> Panel:
    return percentiles("Time between tokens", units.Seconds, "mlxd_inter_token_latency_seconds").description(
        about(
            "Time since the last token, of the stream that waited longest, once a step.",
            normal="p95 below 100 ms; up to `batching.target_itl` (200 ms) while long prompts are computed.",
            otherwise="Too many sequences at once for this machine, or a prompt chunk that is too large: `step_tokens`.",
        )
    )


def duration() -> Panel:
    return percentiles("Duration", units.Seconds, "mlxd_request_duration_seconds").description(
        about(
            "From arrival to the last token, of requests that began to run. It grows with the length of the output.",
            normal="Output tokens times the time between tokens, and a little.",
            otherwise="Long while the time between tokens is short: long outputs, or a queue.",
        )
    )


def queue() -> Panel:
    return percentiles("Time in the queue", units.Seconds, "mlxd_request_queue_seconds").description(
        about(
            "How long requests waited for their turn.",
            normal="Milliseconds.",
            otherwise="Seconds: as many run as may (`max_sequences`), or the cache has no room for another.",
        )
    )


def prefill() -> Panel:
    return percentiles("Time for the prompt", units.Seconds, "mlxd_request_prefill_seconds").description(
        about(
            "How long computing the prompt took, of what the prefix cache did not have.",
            normal="In proportion to the tokens that are computed.",
            otherwise="Longer prompts, fewer hits, or many prompts at once: they share each step.",
        )
    )


def decode() -> Panel:
    return percentiles("Time for the output", units.Seconds, "mlxd_request_decode_seconds").description(
        about(
            "From the first token to the last.",
            normal="Output tokens times the time between tokens.",
            otherwise="Longer outputs, or slower steps: *Time between tokens* says which.",
        )
    )


def time_to_first_token_heat() -> Heatmap:
    return heat("Time to first token, all of it", units.Seconds, "mlxd_time_to_first_token_seconds").description(
        about("How many requests got their first token after how long.", normal=_BANDS, otherwise="A band that rises is a queue.")
    )


def inter_token_latency_heat() -> Heatmap:
    return heat("Time between tokens, all of it", units.Seconds, "mlxd_inter_token_latency_seconds").description(
        about(
            "How many steps made a stream wait how long.",
            normal="One band, that rises with the number of sequences.",
            otherwise="A second band above it: steps that also computed prompts.",
        )
    )


def duration_heat() -> Heatmap:
    return heat("Duration, all of it", units.Seconds, "mlxd_request_duration_seconds").description(
        about(
            "How many requests took how long.",
            normal="As wide as your outputs differ in length.",
            otherwise="A band at the request timeout.",
        )
    )


def queue_heat() -> Heatmap:
    return heat("Time in the queue, all of it", units.Seconds, "mlxd_request_queue_seconds").description(
        about("How many requests waited how long.", normal="All at the bottom.", otherwise="Two bands: priorities, or bursts.")
    )


def time_to_first_token_by_model() -> Panel:
    found = quantile(0.95, "mlxd_time_to_first_token_seconds", "model")
    return lines("Time to first token p95, by model", units.Seconds, Query(found, "{{model}}")).description(
        about(
            "Within what time 95 % of the requests to each model got their first token.",
            normal="Below 2.5 s; larger models take longer.",
            otherwise="One model: look at it in depth. All: the machine is busy.",
        )
    )


def queue_by_model() -> Panel:
    found = quantile(0.95, "mlxd_request_queue_seconds", "model")
    return lines("Time in the queue p95, by model", units.Seconds, Query(found, "{{model}}")).description(
        about(
            "Within what time 95 % of the requests to each model got their turn.",
            normal="Milliseconds.",
            otherwise="That model has more to do than it can: `max_sequences`, its cache, or another machine.",
        )
    )


def where_time_goes() -> Panel:
    stages = {"queue": WARNING, "prefill": NEUTRAL, "decode": GOOD}
    queries = [
        Query(share(rate(model(f"mlxd_request_{stage}_seconds_sum")), rate(model(f"mlxd_request_{stage}_seconds_count"))), stage)
        for stage in stages
    ]
    return colored(areas("Where the time goes", units.Seconds, *queries), stages).description(
        about(
            "What a request spends, on average over all that ended: waiting, computing its prompt, making its output.",
            normal="Nearly all in decode.",
            otherwise="Queue: too much load. Prefill: long prompts, or few hits in the prefix cache.",
        )
    )
