"""The reference of the metrics. ``docs/metrics.md`` is ``python -m mlxd.observability.reference``.

It is written from what a scrape of a daemon with one loaded model would show.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from mlxd.adapter_terms import AdapterFigures
from mlxd.cache_terms import KeyCacheFigures
from mlxd.config.certificates import CertificateFacts, CertificateFiles, CertificateState
from mlxd.config.principal import ANONYMOUS
from mlxd.config.schema import ModelTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.pressure import PressureLevel
from mlxd.control.model.status import ModelStatus
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.control.telemetry import UNKNOWN_MODEL
from mlxd.disk_terms import DiskFigures
from mlxd.media_terms import MediaFigures
from mlxd.observability.metrics import Metrics
from mlxd.types import AttentionState, AttentionWay, BlockFigures, CacheFigures, MemoryFigures, ModelState, ResolvedLimits, RunnerKind
from mlxd.wire.attention_facts import AttentionFacts, AttentionWayFacts
from mlxd.wire.key_value_facts import KeyValueFacts
from mlxd.wire.messages import Heartbeat, Ready

_HEAD = """\
# Metrics

<!-- Generated from the code by `python -m mlxd.observability.reference`; do not edit. `make docs` writes it anew. -->

`GET /metrics` on the admin listener, or on a listener of its own with `metrics.listen` ([configuration](configuration.md#metrics)).
Prometheus' text format or OpenMetrics, as the scraper asks; gzip if it likes. A scrape asks no worker and waits for nothing: gauges of a
model are from its worker's last heartbeat.

```console
$ curl --unix-socket ~/.mlxd/admin.sock http://mlxd/metrics
```

`model` is always a configured id, never an alias; what cannot be counted for one (a wrong path, a model that nobody configured) counts for
`_unknown`. `key` is the name of one of `server.keys`, `api_keys` for those without names, or `anonymous` where there are none, and never a
key. `adapter` is the own name of a configured adapter of the model. No label ever has a user, a prompt, a request's id or an address. The
series of a configured model, adapter or key are there, at 0, from the start, so that the first event is an increase. When a worker is
restarted the counters go on. When a model is unloaded or removed its gauges go, and its counters stay; the series of a key, or of an
adapter, go with it.

Nothing is a ratio: divide. What they are made for:

| question | expression |
|---|---|
| time to the first token, 95th percentile | `histogram_quantile(0.95, sum by (le) (rate(mlxd_time_to_first_token_seconds_bucket[5m])))` |
| generated tokens per second | `sum by (model) (rate(mlxd_generation_tokens_total[5m]))` |
| hit rate of the prefix cache | `sum(rate(mlxd_prompt_tokens_total{source="cached"}[5m])) / sum(rate(mlxd_prompt_tokens_total[5m]))` |
| texts embedded or scored per second | `sum by (model) (rate(mlxd_step_texts_sum[5m]))` |
| tokens generated for whom | `sum by (key) (rate(mlxd_key_generation_tokens_total[5m]))` |
| requests that failed, of all | `sum(rate(mlxd_requests_total{outcome="error"}[5m])) / sum(rate(mlxd_requests_total[5m]))` |

Dashboards are in [grafana/](../grafana), alerts and recording rules in [deploy/prometheus/](../deploy/prometheus), and what to do when an
alert fires in the [runbook](runbook.md).
"""
_PRESSURE = """\
`mlxd_memory_pressure_level` is the system's own account: on macOS the sysctl `kern.memorystatus_vm_pressure_level`; on Linux the
pressure stall information, 1 when some task stood still for want of memory in 10 % of the last ten seconds, 2 when all did. Where the
system does not tell, the series is absent.
"""
_VLLM = """\
With `metrics.vllm_compat = true`, `GET /metrics/vllm` has the same under the names of vLLM V1, so that its Grafana dashboard works as it
is, and gateways that route by load; in Prometheus' text format only. `engine` is always `"0"`; buckets are mlxd's. Prompt tokens count
whether or not they were found in the cache, as in vLLM, and with them those of texts that are encoded.
`vllm:time_per_output_token_seconds` and `vllm:gpu_cache_usage_perc` are older names of `vllm:inter_token_latency_seconds` and
`vllm:kv_cache_usage_perc`, for dashboards that still use them.
"""
_FREE = {"hash", "version", "mlx", "mlx_lm", "runner", "fallback", "engine", "key", "adapter"}  # labels whose values are no closed set


def reference() -> str:
    """Returns the text of the page."""
    metrics = _example()
    ours = [family for family in _families(metrics.registry) if family.name.startswith("mlxd_")]
    of_process = [family for family in _families(metrics.registry) if family.name.startswith("process_")]
    parts = [
        _HEAD,
        "## mlxd\n",
        _table(ours),
        _PRESSURE,
        "## Buckets\n\nUpper bounds of the histograms, in the unit of their name.\n",
        _buckets(ours),
        "## The daemon's process\n\nOf the daemon alone; workers are in `mlxd_worker_memory_bytes`.\n",
        _table(of_process),
        "## Under vLLM's names\n",
        _VLLM,
        _table(_families(metrics.vllm.registry)),
    ]
    return "\n".join(parts)


def _example() -> Metrics:
    holdings = KeyUses(lambda: [ANONYMOUS]).current
    metrics = Metrics(
        lambda: [_loaded_model()],
        Ledger(0),
        holdings=holdings,
        read_pressure=lambda: PressureLevel.NORMAL,
        certificates=lambda: [_certificate(listener) for listener in ("inference", "admin", "metrics")],
    )
    metrics.add_models(["NAME"])
    metrics.config_loaded("")
    return metrics


def _certificate(listener: str) -> CertificateState:
    files = CertificateFiles("", Path(), Path())
    return CertificateState(listener, files, CertificateFacts((), 0.0, 0.0, ("", ""), key_is_exposed=False))


def _loaded_model() -> ModelStatus:
    ready = Ready(
        runner=RunnerKind.PAGED,
        runner_reason="",
        limits=ResolvedLimits(cache_bytes=0),
        device="",
        dtype="",
        context_length=0,
        vocab_size=0,
        weight_bytes=0,
        load_seconds=0.0,
        versions={},
        keys_and_values=KeyValueFacts(wish="auto", token_bytes=0, plain_token_bytes=0),
        attention=AttentionFacts("auto", [AttentionWayFacts(*pair, "") for pair in zip(cycle(AttentionWay), AttentionState, strict=False)]),
    )
    cache = CacheFigures(
        kept=BlockFigures(used=0, shared=0, cached=0, free=0, bytes_saved=0),
        disk=DiskFigures(limit_bytes=1),
        media=MediaFigures(),
        keys={ANONYMOUS.name: KeyCacheFigures(quota=0)},
    )
    adapter = AdapterFigures(name="ADAPTER")
    heartbeat = Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0.0, memory=MemoryFigures(), cache=cache, adapters=(adapter,))
    table = ModelTable.model_validate({"source": "builtin:smollm2-135m", "adapters": {adapter.name: {"source": "./adapter"}}})
    return ModelStatus(name="NAME", config=table, state=ModelState.READY, since=0.0, created=0, ready=ready, heartbeat=heartbeat)


def _families(registry: CollectorRegistry) -> list[Metric]:
    return sorted(registry.collect(), key=lambda family: family.name)


def _exported(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def _table(families: Iterable[Metric]) -> str:
    rows = [
        f"| `{_exported(family)}` | {'gauge' if family.type == 'info' else family.type} | {', '.join(_labels(family)) or 'none'} "
        f"| {family.documentation} |"
        for family in families
    ]
    return "\n".join(["| metric | type | labels | |", "|---|---|---|---|", *rows, ""])


def _labels(family: Metric) -> Iterator[str]:
    """Yields the labels, with their values where these are a closed set."""
    found: dict[str, dict[str, None]] = {}
    for sample in sorted(family.samples, key=lambda sample: UNKNOWN_MODEL in sample.labels.values()):  # what models have comes first
        for label, value in sample.labels.items():
            found.setdefault(label, {})[value] = None
    found.pop("le", None)
    for label, values in found.items():
        is_closed = label not in _FREE and not label.startswith("model")
        yield f"`{label}` ({', '.join(values)})" if is_closed else f"`{label}`"


def _buckets(families: Iterable[Metric]) -> str:
    rows = []
    for family in families:
        bounds = dict.fromkeys(sample.labels["le"] for sample in family.samples if "le" in sample.labels)
        if bounds:
            rows.append(f"| `{family.name}` | {' '.join(f'{float(bound):g}' for bound in bounds if bound != '+Inf')} |")
    return "\n".join(["| histogram | bounds |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(reference())
