"""``mlxd model``: one model in depth."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboard import Row, assemble
from grafana.panels import adapters, cache, disk, encoding, latency, media, memory, models, now, requests, throughput

DESCRIPTION = "One model in depth: what is asked of it, how long each stage takes, what its engine and its cache do."


def one_model() -> Dashboard:
    """For whoever knows which model it is."""
    rows = [_now(), _requests(), _latency(), _stages(), _engine(), _cache(), _disk(), _media(), _adapters(), _encoding(), _worker()]
    return assemble("mlxd-models", "mlxd model", DESCRIPTION, rows, one_model=True)


def _now() -> Row:
    health = [now.state(), now.load(), now.failing(), now.restarts(), now.cache_used(), now.hit_rate()]
    speed = [now.busy(), now.tokens(), now.time_to_first_token(), now.inter_token_latency(), requests.ttft_kept(), requests.itl_kept()]
    return Row("Now", [*health, *speed])


def _requests() -> Row:
    return Row("Requests", [requests.by_outcome(), requests.refused(), requests.running_and_waiting(), requests.by_endpoint().span(24)])


def _latency() -> Row:
    percentiles = [latency.time_to_first_token(), latency.inter_token_latency(), latency.duration()]
    return Row(
        "Latency",
        [*percentiles, latency.time_to_first_token_heat(), latency.inter_token_latency_heat(), latency.duration_heat()],
    )


def _stages() -> Row:
    return Row(
        "Stages of a request",
        [latency.where_time_goes().span(16), latency.queue_heat(), latency.queue(), latency.prefill(), latency.decode()],
    )


def _engine() -> Row:
    steps = [throughput.step_seconds(), throughput.step_tokens(), throughput.batch_size()]
    heatmaps = [throughput.step_seconds_heat(), throughput.step_tokens_heat(), throughput.batch_size_heat()]
    tokens = [throughput.prompt_tokens(), throughput.generated_tokens(), throughput.computed_tokens()]
    return Row("Engine", [*steps, *heatmaps, *tokens, throughput.busy().span(12), throughput.guesses().span(12)])


def _cache() -> Row:
    return Row(
        "KV and prefix cache",
        [cache.blocks(), cache.hit_rate(), cache.lookups(), cache.size(), cache.preemptions(), cache.evictions()],
    )


def _disk() -> Row:
    return Row(
        "Cache on disk", [disk.states(), disk.size(), disk.held(), disk.blocks(), disk.traffic(), disk.hits(), disk.trouble().span(12)]
    )


def _media() -> Row:
    return Row(
        "Pictures and films",
        [media.seen(), media.tokens(), media.encoding(), media.lookups(), media.kept(), media.evictions()],
    )


def _adapters() -> Row:
    return Row(
        "Adapters",
        [adapters.tokens(), adapters.requests(), adapters.running(), adapters.memory(), adapters.changes(), adapters.failed()],
    )


def _encoding() -> Row:
    asked = [encoding.requests(), encoding.texts(), encoding.tokens()]
    return Row("Vectors and scores", [*asked, encoding.request_texts(), encoding.step_texts(), encoding.step_texts_heat()])


def _worker() -> Row:
    return Row("Worker", [models.states().span(16), models.restarts(), memory.by_kind().span(16), models.load_time()])
