"""What Prometheus sees: names, types, labels and buckets, as a snapshot and by promtool."""

import asyncio
import subprocess
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from mlxd.cache_terms import KeyCacheFigures
from mlxd.config.adapter_table import AdapterTable
from mlxd.config.certificates import CertificateFacts, CertificateFiles, CertificateState
from mlxd.config.principal import ANONYMOUS
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.pressure import PressureLevel
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.observability.loop_lag import sample_loop_lag
from mlxd.observability.metrics import Metrics
from mlxd.observability.process_metrics import PsutilCollector, process_collector
from tests.support.prometheus import program
from tests.support.statuses import HEARTBEAT, PAGED_CACHE, READY, running_status

# name, type, labels, upper bounds of buckets: what dashboards and alerts build upon
SNAPSHOT = """
mlxd_adapter_bytes gauge {adapter model}
mlxd_adapter_evictions_total counter {adapter model}
mlxd_adapter_generation_tokens_total counter {adapter model}
mlxd_adapter_loads_total counter {adapter model}
mlxd_adapter_requests_running gauge {adapter model}
mlxd_adapter_requests_total counter {adapter model outcome}
mlxd_adapter_state gauge {adapter model state}
mlxd_batch_size histogram {model} [1 2 3 4 6 8 12 16 24 32 48 64 96 128]
mlxd_build_info gauge {mlx mlx_lm version}
mlxd_cache_disk_blocks gauge {model}
mlxd_cache_disk_bytes gauge {model}
mlxd_cache_disk_directory_bytes gauge {model}
mlxd_cache_disk_dropped_blocks_total counter {model reason}
mlxd_cache_disk_errors_total counter {kind model}
mlxd_cache_disk_evicted_blocks_total counter {model}
mlxd_cache_disk_hit_tokens_total counter {model}
mlxd_cache_disk_limit_bytes gauge {model}
mlxd_cache_disk_lost_blocks_total counter {model}
mlxd_cache_disk_missed_blocks_total counter {model}
mlxd_cache_disk_queued_bytes gauge {model}
mlxd_cache_disk_read_blocks_total counter {model}
mlxd_cache_disk_read_bytes_total counter {model}
mlxd_cache_disk_state gauge {model state}
mlxd_cache_disk_written_blocks_total counter {model}
mlxd_cache_disk_written_bytes_total counter {model}
mlxd_cache_evicted_blocks_total counter {model reason}
mlxd_cache_pins gauge {model state}
mlxd_config_info gauge {hash}
mlxd_config_last_reload_success_timestamp_seconds gauge {}
mlxd_config_last_reload_successful gauge {}
mlxd_config_reloads_total counter {result trigger}
mlxd_encoded_tokens_total counter {model}
mlxd_event_loop_lag_seconds histogram {} [0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5]
mlxd_generation_tokens_total counter {model}
mlxd_inter_token_latency_seconds histogram {model} [0.002 0.004 0.006 0.008 0.01 0.015 0.02 0.03 0.04 0.06 0.08 0.1 0.2 0.4 0.8 2]
mlxd_key_generation_tokens_total counter {key}
mlxd_key_prompt_tokens_total counter {key source}
mlxd_key_refusals_total counter {key reason}
mlxd_key_requests_running gauge {key}
mlxd_key_requests_total counter {key}
mlxd_kv_blocks gauge {model state}
mlxd_kv_bytes gauge {model}
mlxd_kv_bytes_saved_by_sharing gauge {model}
mlxd_kv_key_bytes gauge {key model}
mlxd_kv_key_quota_bytes gauge {key model}
mlxd_kv_pinned_bytes gauge {model}
mlxd_log_lines_dropped_total counter {}
mlxd_media_cache_bytes gauge {model}
mlxd_media_cache_evictions_total counter {model}
mlxd_media_cache_limit_bytes gauge {model}
mlxd_media_cache_lookups_total counter {model outcome}
mlxd_media_encode_seconds_total counter {model}
mlxd_media_encodes_total counter {model outcome}
mlxd_media_tokens_total counter {model}
mlxd_media_total counter {kind model}
mlxd_memory_limit_bytes gauge {}
mlxd_memory_pressure_level gauge {}
mlxd_memory_relief_measures gauge {}
mlxd_memory_relief_total counter {measure}
mlxd_memory_reserved_bytes gauge {}
mlxd_model_attention gauge {model state way}
mlxd_model_exchanges_total counter {model}
mlxd_model_kv_layers gauge {model type}
mlxd_model_load_seconds histogram {model} [0.5 1 2.5 5 10 20 40 80 160 300 600 1200 1800]
mlxd_model_runner gauge {fallback model runner}
mlxd_model_state gauge {model state}
mlxd_model_turn_wait_seconds histogram {model} [0.1 0.5 1 2.5 5 10 20 40 60 90 120 180 300 600 1200]
mlxd_nonfinite_logits_total counter {model}
mlxd_preemptions_total counter {model reason}
mlxd_prefix_cache_hit_tokens_total counter {model}
mlxd_prefix_cache_lookups_total counter {model outcome}
mlxd_prefix_cache_query_tokens_total counter {model}
mlxd_prompt_tokens_total counter {model source}
mlxd_request_decode_seconds histogram {model} [0.05 0.1 0.25 0.5 1 2.5 5 10 20 40 80 160 300 600 1200]
mlxd_request_duration_seconds histogram {model} [0.05 0.1 0.25 0.5 1 2.5 5 10 20 40 80 160 300 600 1200]
mlxd_request_prefill_seconds histogram {model} [0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 20 40 80 160 300]
mlxd_request_queue_seconds histogram {model} [0.001 0.005 0.01 0.05 0.1 0.5 1 5 10 30 60 120]
mlxd_request_rejections_total counter {model reason}
mlxd_request_texts histogram {model} [1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192]
mlxd_requests_awaiting_model gauge {model}
mlxd_requests_running gauge {model}
mlxd_requests_total counter {endpoint model outcome}
mlxd_requests_waiting gauge {model}
mlxd_speculation_accepted_tokens_total counter {model}
mlxd_speculation_drafted_tokens_total counter {model}
mlxd_step_seconds histogram {model} [0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 30]
mlxd_step_texts histogram {model} [1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192]
mlxd_step_tokens histogram {model} [1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192]
mlxd_time_to_first_token_seconds histogram {model} [0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 20 40 80 160 300]
mlxd_tls_certificate_current gauge {listener}
mlxd_tls_certificate_expiry_timestamp_seconds gauge {listener}
mlxd_worker_memory_bytes gauge {kind model}
mlxd_worker_restarts_total counter {model reason}
""".strip().splitlines()
PROCESS = {"cpu_seconds", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds", "virtual_memory_bytes"}


@pytest.fixture
def registry():
    paged = msgspec.structs.replace(READY, runner="paged")
    cache = msgspec.structs.replace(PAGED_CACHE, keys={ANONYMOUS.name: KeyCacheFigures(held=1, quota=2)})
    heartbeat = msgspec.structs.replace(HEARTBEAT, cache=cache)
    status = running_status(ready=paged, heartbeat=heartbeat, adapters={"sql": AdapterTable(source="org/sql")})
    holdings = KeyUses(lambda: [ANONYMOUS]).current
    files = CertificateFiles("server.tls", Path("/tls.pem"), Path("/tls.key"))
    facts = CertificateFacts(("mlx.example",), 0.0, 2e9, ("", ""), key_is_exposed=False)
    metrics = Metrics(
        lambda: [status],
        Ledger(1000),
        holdings=holdings,
        read_pressure=lambda: PressureLevel.NORMAL,
        certificates=lambda: [CertificateState("inference", files, facts, problem="no key")],
    )
    metrics.add_models(["tiny"])
    metrics.config_loaded("abc")
    return metrics.registry


def described(registry):
    for metric in registry.collect():
        if not metric.name.startswith("mlxd_"):
            continue
        name = metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")
        labels = sorted({label for sample in metric.samples for label in sample.labels} - {"le"})
        bounds = list(dict.fromkeys(sample.labels["le"] for sample in metric.samples if "le" in sample.labels))
        buckets = f" [{' '.join(f'{float(bound):g}' for bound in bounds if bound != '+Inf')}]" if bounds else ""
        yield f"{name} {'gauge' if metric.type == 'info' else metric.type} {{{' '.join(labels)}}}{buckets}"


def test_names_types_labels_and_buckets(registry):
    assert sorted(described(registry)) == SNAPSHOT


def test_no_histogram_has_more_than_16_buckets(registry):
    counts = [line.count(" ", line.index("[")) + 1 for line in described(registry) if "[" in line]
    assert counts
    assert max(counts) <= 16


def test_one_series_per_fact(registry):
    text = generate_latest(registry).decode()
    assert "_created" not in text


def test_openmetrics_parses(registry):
    families = {family.name: family.type for family in parse_openmetrics(generate_openmetrics(registry).decode())}
    assert families["mlxd_requests"] == "counter"
    assert families["mlxd_build"] == "info"


def test_promtool_finds_nothing_to_say(registry):
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def process_names(collector):
    return {metric.name.removeprefix("process_") for metric in collector.collect()}


def test_process_metrics_are_the_same_with_and_without_proc():
    assert process_names(PsutilCollector()) == PROCESS
    assert process_names(process_collector()) == PROCESS


def test_process_metrics_by_psutil_agree_with_proc():
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc to compare with")
    found = []
    for collector in (PsutilCollector(), process_collector()):
        registry = CollectorRegistry()
        registry.register(collector)
        found.append(registry.get_sample_value)
    by_psutil, by_proc = found
    assert by_psutil("process_max_fds") == by_proc("process_max_fds")
    assert by_psutil("process_start_time_seconds") == pytest.approx(by_proc("process_start_time_seconds"), abs=2)
    assert by_psutil("process_resident_memory_bytes") == pytest.approx(by_proc("process_resident_memory_bytes"), rel=0.5)
    assert by_psutil("process_cpu_seconds_total") > 0


async def test_loop_lag_sees_a_blocked_loop():
    seen = asyncio.Queue()
    task = asyncio.create_task(sample_loop_lag(seen.put_nowait, interval=0.01))
    assert await seen.get() >= 0
    blocked_until = asyncio.get_running_loop().time() + 0.2
    while asyncio.get_running_loop().time() < blocked_until:
        pass  # holding the loop is the point
    assert await seen.get() > 0.1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
