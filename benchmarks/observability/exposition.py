"""Figures of a daemon's own metrics."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scraped:
    """One scrape. Of a name with several series: their sum."""

    values: dict[str, float]
    series: int

    @classmethod
    def parse(cls, text: str) -> "Scraped":
        """Reads Prometheus' text format; samples of one name are added up."""
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        values: dict[str, float] = {}
        for sample in samples:
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
        return cls(values, len(samples))

    def mean_since(self, before: "Scraped", histogram: str) -> float:
        """Of what a histogram has observed since ``before``; NaN for nothing."""
        count = self.values[f"{histogram}_count"] - before.values[f"{histogram}_count"]
        return (self.values[f"{histogram}_sum"] - before.values[f"{histogram}_sum"]) / count if count else float("nan")
