"""What was measured: for each scenario and server one number a round, and every request behind it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from benchmarks.harness.client import Answer
from benchmarks.harness.stats import Spread, ratios


@dataclass(frozen=True)
class Metric:
    """A kind of number."""

    name: str
    unit: str
    better: str  # "higher" | "lower"
    digits: int = field(default=1, compare=False)

    @property
    def title(self) -> str:
        """With its unit, for a column or a table."""
        return f"{self.name}, {self.unit}"


@dataclass
class Measurements:
    """Rounds are numbered by the order of ``add``, so servers have to be measured in the same rounds for their ratios to mean anything."""

    _values: dict[tuple[Metric, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    _requests: list[dict[str, Any]] = field(default_factory=list)
    _notes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> Self:
        """Reads ``measured`` of a document again; how many digits are shown is not in it."""
        return cls(_by_key(rows))

    @classmethod
    def resumed(cls, document: dict[str, Any]) -> tuple[Self, int]:
        """Returns what a run before measured in whole rounds, and how many these are."""
        rows = document["measured"]
        whole = min((len(row["rounds"]) for row in rows), default=0)
        values = {key: found[:whole] for key, found in _by_key(rows).items()}
        return cls(defaultdict(list, values), list(document["requests"]), list(document["notes"])), whole

    def add(self, metric: Metric, scenario: str, server: str, value: float) -> None:
        """Adds the number of one round."""
        self._values[metric, scenario, server].append(value)

    def keep(self, scenario: str, server: str, answers: Sequence[Answer]) -> None:
        """Requests, for the JSON file."""
        self._requests += [{"scenario": scenario, "server": server, **answer.record()} for answer in answers]

    def note(self, **facts: object) -> None:
        """Anything else, for the JSON file."""
        self._notes.append(facts)

    def values(self, metric: Metric, scenario: str, server: str) -> list[float]:
        """Round by round; empty if there are none."""
        return self._values.get((metric, scenario, server), [])

    def spread(self, metric: Metric, scenario: str, server: str) -> Spread | None:
        """Returns what there was over the rounds; None where there is nothing."""
        values = self.values(metric, scenario, server)
        return Spread.of(values) if values else None

    def ratio(self, metric: Metric, scenario: str, ours: str, theirs: str) -> Spread | None:
        """Of ``ours`` to ``theirs``, round by round."""
        pairs = ratios(self.values(metric, scenario, ours), self.values(metric, scenario, theirs))
        return Spread.of(pairs) if pairs else None

    def ratio_of(self, metric: Metric, other: Metric, scenario: str, server: str) -> Spread | None:
        """Of one metric to another of the same server, round by round."""
        pairs = ratios(self.values(metric, scenario, server), self.values(other, scenario, server))
        return Spread.of(pairs) if pairs else None

    def scenarios(self, metric: Metric) -> list[str]:
        """In the order they were first measured."""
        return list(dict.fromkeys(scenario for known, scenario, _ in self._values if known == metric))

    def servers(self) -> list[str]:
        """In the order they were first measured."""
        return list(dict.fromkeys(server for _, _, server in self._values))

    def document(self) -> dict[str, Any]:
        """For the JSON file."""
        rows = [
            {"metric": metric.name, "unit": metric.unit, "better": metric.better, "scenario": scenario, "server": server, "rounds": values}
            for (metric, scenario, server), values in self._values.items()
        ]
        return {"measured": rows, "requests": self._requests, "notes": self._notes}


def _by_key(rows: Sequence[dict[str, Any]]) -> dict[tuple[Metric, str, str], list[float]]:
    """Returns the rounds of the rows of a document."""
    return defaultdict(
        list, {(Metric(row["metric"], row["unit"], row["better"]), row["scenario"], row["server"]): list(row["rounds"]) for row in rows}
    )
