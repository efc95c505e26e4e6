"""What the Grafana dashboard that vLLM publishes asks Prometheus, panel by panel; of panels with several percentiles, each.

Names and labels as in vLLM's ``examples/online_serving/prometheus_grafana``. Two panels are there twice: vLLM has renamed what they
show, and dashboards of either age are in use. Beside it, what gateways read that send a request to the least loaded server.
"""

_MODEL = '{model_name="$model_name"}'
_WINDOW = "[$__rate_interval]"


def _latency(name):
    """A panel with percentiles and the mean."""
    quantiles = [f"histogram_quantile({q}, sum by(le) (rate({name}_bucket{_MODEL}{_WINDOW})))" for q in (0.99, 0.95, 0.9, 0.5)]
    return [*quantiles, f"rate({name}_sum{_MODEL}{_WINDOW}) / rate({name}_count{_MODEL}{_WINDOW})"]


def _heatmap(name):
    return [f"sum by(le) (increase({name}_bucket{_MODEL}{_WINDOW}))"]


def _rates(*names):
    return [f"rate({name}{_MODEL}{_WINDOW})" for name in names]


PANELS = {
    "E2E Request Latency": _latency("vllm:e2e_request_latency_seconds"),
    "Token Throughput": _rates("vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
    "Inter Token Latency": _latency("vllm:inter_token_latency_seconds"),
    "Time Per Output Token Latency": _latency("vllm:time_per_output_token_seconds"),
    "Scheduler State": [f"vllm:num_requests_running{_MODEL}", f"vllm:num_requests_waiting{_MODEL}"],
    "Time To First Token Latency": _latency("vllm:time_to_first_token_seconds"),
    "Cache Utilization": [f"vllm:kv_cache_usage_perc{_MODEL}"],
    "Cache Utilization, older": [f"vllm:gpu_cache_usage_perc{_MODEL}"],
    "Request Prompt Length": _heatmap("vllm:request_prompt_tokens"),
    "Request Generation Length": _heatmap("vllm:request_generation_tokens"),
    "Finish Reason": [f"sum by(finished_reason) (increase(vllm:request_success_total{_MODEL}{_WINDOW}))"],
    "Queue Time": _rates("vllm:request_queue_time_seconds_sum"),
    "Requests Prefill and Decode Time": _rates("vllm:request_prefill_time_seconds_sum", "vllm:request_decode_time_seconds_sum"),
    "Max Generation Token in Sequence Group": _rates("vllm:request_max_num_generation_tokens_sum"),
}

GATEWAYS = [
    'vllm:num_requests_running{engine="0"}',
    'vllm:num_requests_waiting{engine="0"}',
    'vllm:kv_cache_usage_perc{engine="0"}',
    "rate(vllm:prefix_cache_hits_total[1m]) / rate(vllm:prefix_cache_queries_total[1m])",
]

MODEL_VARIABLE = 'label_values({__name__=~"vllm:.*"},model_name)'
