"""What is counted of models that make vectors and scores, beside what is counted of all."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from mlxd.control.telemetry import RequestRecord
from mlxd.wire.messages import StepStats

TEXTS = tuple(2**exponent for exponent in range(14))  # 1 to 8,192: a request may have 2,048 texts, or 10,000 pairs


class EncodingMetrics:
    """Metrics of the texts that are made vectors, and of the pairs of them that are scored."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tokens = Counter(
            "mlxd_encoded_tokens_total",
            "Tokens of texts made vectors or scores, as they are computed.",
            ("model",),
            registry=registry,
        )
        self.request_texts = _histogram(registry, "request_texts", "Texts, or pairs, of a request for vectors or scores that began.")
        self.step_texts = _histogram(registry, "step_texts", "Texts, or pairs, that one engine step encoded.")

    def add_model(self, model: str) -> None:
        """Has the series of a model begin at 0."""
        for each in (self.tokens, self.request_texts, self.step_texts):
            each.labels(model)

    def request_finished(self, model: str, record: RequestRecord) -> None:
        """Counts a request that began; ``model`` is its label."""
        if record.texts is not None:
            self.request_texts.labels(model).observe(record.texts)

    def step(self, model: str, stats: StepStats) -> None:
        """Counts a step that encoded something."""
        self.tokens.labels(model).inc(stats.prompt_tokens)
        self.step_texts.labels(model).observe(stats.texts)


def _histogram(registry: CollectorRegistry, name: str, text: str) -> Histogram:
    return Histogram(f"mlxd_{name}", text, ("model",), buckets=TEXTS, registry=registry)
