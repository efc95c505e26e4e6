"""Is it fine? Tiles with the present values: green is fine, red is not, blue is a number to know."""

from grafana_foundation_sdk.builders.stat import Panel
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.panels.memory import PRESSURE
from grafana.panels.models import STATES, state_code
from grafana.promql import daemon, increase_shown, model, or_zero, quantile, rate, share, total
from grafana.style import BAD, GOOD, IDLE, NOTICE, TOKENS_PER_SECOND, WARNING, Query, about, steps, texts, tile


def up() -> Panel:
    return (
        tile("Daemon", units.NoUnit, Query(f"min ({daemon('up')})"))
        .mappings([texts((0, "DOWN", BAD), (1, "UP", GOOD))])
        .thresholds(steps(BAD, (1, GOOD)))
        .description(
            about(
                "Whether Prometheus reaches the metrics of every chosen instance.",
                normal="UP.",
                otherwise="`mlxd status` on that machine, then the log, `mlxd doctor`. No data: Prometheus does not know the target.",
            )
        )
    )


def models() -> Panel:
    ready, failed = (total(model("mlxd_model_state", state=state)) for state in ("ready", "failed"))
    return (
        tile("Models", units.NoUnit, Query(ready, "ready"), Query(failed, "failed"))
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME)
        .thresholds(steps(GOOD))
        .override_by_name("failed", [_steps(GOOD, (1, BAD))])
        .description(
            about(
                "How many models are ready for requests, and how many have failed. One that is loaded on demand is neither while it rests.",
                normal="None has failed.",
                otherwise="`mlxd status` says why; after the cause is gone, `mlxd restart MODEL`.",
            )
        )
    )


def reload() -> Panel:
    return (
        tile("Configuration", units.NoUnit, Query(f"min ({daemon('mlxd_config_last_reload_successful')})"))
        .mappings([texts((0, "NOT THE FILE'S", BAD), (1, "OK", GOOD))])
        .thresholds(steps(BAD, (1, GOOD)))
        .description(
            about(
                "Whether the last reload took over what the file says. After a bad file the daemon goes on with the last good one.",
                normal="OK.",
                otherwise="`mlxd validate` names the lines that are wrong. Mend them: it reloads by itself.",
            )
        )
    )


def failing() -> Panel:
    failed = rate(model("mlxd_requests_total", outcome="error"))
    return (
        tile("Failing requests", units.PercentUnit, Query(share(failed, rate(model("mlxd_requests_total")))))
        .thresholds(steps(GOOD, (0.01, WARNING), (0.05, BAD)))
        .decimals(1)
        .description(
            about(
                "Share of the requests that ended in an error of the server: refused for want of room, timed out, or cut off by a crash.",
                normal="Below 1 %. Mistakes and departures of clients do not count.",
                otherwise="*Refused and failed, by reason* below says what it is.",
            )
        )
    )


def reserved() -> Panel:
    ratio = share(daemon("mlxd_memory_reserved_bytes"), daemon("mlxd_memory_limit_bytes"))
    return (
        tile("Memory reserved", units.PercentUnit, Query(f"max ({ratio})"))
        .thresholds(steps(GOOD, (0.9, NOTICE), (1.0001, BAD)))
        .decimals(0)
        .description(
            about(
                "Of `memory.limit`, what is reserved for the models that are loaded: weights, cache and computing, each at its most.",
                normal="Up to 100 %; near it, another model will not fit.",
                otherwise="Above 100 %, the limit was lowered below what is loaded: unload a model, or raise it.",
            )
        )
    )


def restarts() -> Panel:
    return (
        tile("Worker restarts", units.NoUnit, Query(increase_shown(model("mlxd_worker_restarts_total"))))
        .thresholds(steps(GOOD, (0.5, WARNING), (3, BAD)))
        .decimals(0)
        .description(
            about(
                "Workers that crashed, hung or failed to load, in the time the dashboard shows.",
                normal="0.",
                otherwise="One model again and again: *Restarts* below, and `worker_ended` in the log. `mlxd drain MODEL` takes it out.",
            )
        )
    )


def load() -> Panel:
    running, waiting = (or_zero(total(model(f"mlxd_requests_{what}"))) for what in ("running", "waiting"))
    return (
        tile("Requests", units.NoUnit, Query(running, "running"), Query(waiting, "waiting"))
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME)
        .override_by_name("waiting", [_steps(GOOD, (16, WARNING), (128, BAD))])
        .description(
            about(
                "Requests being computed, prompt or output, and requests in the queues of the models.",
                normal="Running up to `batching.max_sequences` for each model; waiting near 0, a few during a burst.",
                otherwise="Some wait and none run: the engine stands still, `mlxd restart MODEL` if it lasts. "
                "Beyond `batching.max_queue` clients get 429: more `max_sequences` if the cache has room, or another machine.",
            )
        )
    )


def busy() -> Panel:
    return (
        tile("Busy", units.PercentUnit, Query(rate(model("mlxd_step_seconds_sum"))))
        .decimals(0)
        .description(
            about(
                "Share of the time in which the engine computes.",
                normal="100 % whenever requests run, 0 when there are none.",
                otherwise="0 while requests run: it stands still. `mlxd restart MODEL` if it lasts.",
            )
        )
    )


def pressure() -> Panel:
    return (
        tile("Memory pressure", units.NoUnit, Query(f"max ({daemon('mlxd_memory_pressure_level')})"))
        .mappings([PRESSURE])
        .thresholds(steps(GOOD, (1, WARNING), (2, BAD)))
        .description(
            about(
                "How short of memory the machine is, by its own account: of the chosen ones, where it is worst.",
                normal="NORMAL.",
                otherwise="Lower `memory.limit` or `cache.memory`, unload a model, or end what else uses memory on that machine.",
            )
        )
    )


def tokens() -> Panel:
    return tile("Tokens computed", TOKENS_PER_SECOND, Query(rate(model("mlxd_step_tokens_sum")))).description(
        about(
            "Tokens that go through the models per second, of prompts and of outputs, as they are computed.",
            normal="What the machine can do while requests run; 0 when there are none.",
            otherwise="Low while requests wait: look at *Time of a step*, at memory, and at what else the machine does.",
        )
    )


def time_to_first_token() -> Panel:
    return (
        tile("TTFT p95", units.Seconds, Query(quantile(0.95, "mlxd_time_to_first_token_seconds")))
        .thresholds(steps(GOOD, (2.5, WARNING), (10, BAD)))
        .description(
            about(
                "Nineteen of twenty requests get their first token within this time of their arrival.",
                normal="Below 2.5 s.",
                otherwise="*Where the time goes* says whether they queue or compute long prompts.",
            )
        )
    )


def inter_token_latency() -> Panel:
    return (
        tile("ITL p95", units.Seconds, Query(quantile(0.95, "mlxd_inter_token_latency_seconds")))
        .thresholds(steps(GOOD, (0.1, WARNING), (0.4, BAD)))
        .description(
            about(
                "Time from token to token within a stream, in nineteen of twenty steps: of the stream that waited longest.",
                normal="Below 100 ms; `batching.target_itl` (200 ms) is what mlxd keeps to while it computes other people's prompts.",
                otherwise="Lower `max_sequences` or `target_itl`, or take a smaller model.",
            )
        )
    )


def cache_used() -> Panel:
    used = total(model("mlxd_kv_blocks", state="used"), "instance, model")
    whole = total(model("mlxd_kv_blocks", state="used|cached|free"), "instance, model")
    return (
        tile("KV cache in use", units.PercentUnit, Query(f"max ({share(used, whole)})"))
        .thresholds(steps(GOOD, (0.8, WARNING), (0.95, BAD)))
        .decimals(0)
        .description(
            about(
                "Blocks that running requests hold, of the model where it is most. Those kept for later prompts give way.",
                normal="Below 80 %.",
                otherwise="Near 100 % sequences are preempted and computed again: raise `cache.memory` or lower `max_sequences`.",
            )
        )
    )


def state() -> Panel:
    return (
        tile("State", units.NoUnit, Query(f"max ({state_code()})"))
        .mappings([STATES, IDLE])
        .description(
            about(
                "What the model is doing.",
                normal="READY; STOPPED where it is loaded on demand.",
                otherwise="`mlxd status` says why it failed. DRAINING or LOADING for minutes: see the log.",
            )
        )
    )


def hit_rate() -> Panel:
    found = rate(model("mlxd_prefix_cache_hit_tokens_total"))
    return (
        tile("Prompt from cache", units.PercentUnit, Query(share(found, rate(model("mlxd_prefix_cache_query_tokens_total")))))
        .decimals(0)
        .description(
            about(
                "Share of the prompt tokens that the prefix cache had, so that they were not computed.",
                normal="High for chats and shared system prompts; 0 for prompts that share nothing.",
                otherwise="Lower than it was: prompts begin differently (a date, a name?), or the cache is too small: *Evicted blocks*.",
            )
        )
    )


def _steps(base: str, *above: tuple[float, str]) -> DynamicConfigValue:
    return DynamicConfigValue("thresholds", steps(base, *above).build())
