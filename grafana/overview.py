"""``mlxd overview``: everything, from "is it fine?" downwards."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboard import Row, assemble
from grafana.panels import adapters, cache, disk, encoding, keys, latency, media, memory, models, now, process, requests, throughput

DESCRIPTION = "All models of one or several mlxd. The first row says whether it is fine; each panel's description, what to do if not."


def overview() -> Dashboard:
    """For whoever is called at night."""
    rows = [
        _now(),
        _service_level(),
        _latency(),
        _throughput(),
        _cache(),
        _disk(),
        _media(),
        _adapters(),
        _encoding(),
        _keys(),
        _memory(),
        _models(),
        _process(),
    ]
    return assemble("mlxd-overview", "mlxd overview", DESCRIPTION, rows, one_model=False)


def _now() -> Row:
    health = [now.up(), now.models(), now.reload(), now.failing(), now.restarts(), now.pressure()]
    load = [now.load(), now.tokens(), now.time_to_first_token(), now.inter_token_latency(), now.cache_used(), now.reserved()]
    return Row("Now", [*health, *load])


def _service_level() -> Row:
    kept = [requests.ttft_kept().height(9), requests.itl_kept().height(9), requests.kept_over_time().span(16)]
    return Row("Service level", [*kept, requests.by_outcome(), requests.refused(), requests.running_and_waiting()])


def _latency() -> Row:
    percentiles = [latency.time_to_first_token(), latency.inter_token_latency(), latency.duration()]
    heatmaps = [latency.time_to_first_token_heat(), latency.inter_token_latency_heat(), latency.duration_heat()]
    return Row(
        "Latency",
        [*percentiles, *heatmaps, latency.where_time_goes(), latency.time_to_first_token_by_model(), latency.queue_by_model()],
    )


def _throughput() -> Row:
    tokens = [throughput.prompt_tokens(), throughput.generated_tokens(), throughput.computed_tokens()]
    return Row("Throughput", [*tokens, throughput.busy(), throughput.batch_size(), throughput.step_tokens(), throughput.guesses().span(24)])


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


def _keys() -> Row:
    return Row("Keys", [keys.tokens(), keys.requests(), keys.running(), keys.refusals().span(12), keys.cached().span(12)])


def _memory() -> Row:
    held = [memory.reserved(), memory.by_model(), memory.by_kind()]
    return Row("Memory", [*held, memory.pressure().height(4).span(24), memory.relief().span(24), memory.exchanges().span(24)])


def _models() -> Row:
    return Row(
        "Models",
        [models.states().span(16), models.restarts(), models.overview(), requests.by_model().span(12), models.load_time().span(12)],
    )


def _process() -> Row:
    tiles = [process.age().height(5), process.uptime().height(5), process.versions()]
    charts = [process.reloads(), process.loop_lag(), process.file_descriptors()]
    below = [process.cpu(), process.memory(), process.dropped_log_lines()]
    return Row("Configuration and process", [*tiles, *charts, *below])
