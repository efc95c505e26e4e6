"""Questions to a Prometheus, with Grafana's variables filled in."""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

_POINTS = 160


@dataclass(frozen=True)
class Window:
    """The time that is shown, in Unix seconds. ``rate_interval``: seconds over which rates are taken."""

    start: float
    end: float
    step: float
    rate_interval: int

    @classmethod
    def over(cls, start: float, end: float, rate_interval: int) -> "Window":
        """With as many points as a line of the picture can show."""
        return cls(start, end, max(1.0, (end - start) / _POINTS), rate_interval)

    def coarser(self, times: int) -> "Window":
        """The same with so many times fewer points."""
        return replace(self, step=self.step * times)

    @property
    def times(self) -> np.ndarray:
        """Where a range query has values."""
        return np.arange(self.start, self.end + self.step / 2, self.step)


@dataclass(frozen=True)
class Series:
    """``values`` at ``Window.times``, NaN where there are none; or a single one, of an instant query."""

    labels: dict[str, str]
    values: np.ndarray = field(repr=False)

    @property
    def last(self) -> float:
        return float(self.values[-1])


class Prometheus:
    """The HTTP API of one server."""

    def __init__(self, url: str, window: Window) -> None:
        self.url = url.rstrip("/")
        self.window = window

    def range(self, expression: str) -> list[Series]:
        """Returns the expression's series over the window."""
        window = self.window
        found = self._ask("query_range", expression, start=window.start, end=window.end, step=window.step)
        return [Series(one["metric"], self._on_grid(one["values"])) for one in found]

    def now(self, expression: str) -> list[Series]:
        """At the window's end."""
        found = self._ask("query", expression, time=self.window.end)
        return [Series(one["metric"], np.array([float(one["value"][1])])) for one in found]

    def _on_grid(self, samples: list[tuple[float, str]]) -> np.ndarray:
        values = np.full(len(self.window.times), math.nan)
        for at, value in samples:
            values[round((at - self.window.start) / self.window.step)] = float(value)
        return values

    def _ask(self, kind: str, expression: str, **parameters: float) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": self._substituted(expression), **parameters})
        with urllib.request.urlopen(f"{self.url}/api/v1/{kind}?{query}", timeout=30) as answer:  # noqa: S310 - the caller's own server
            return list(json.load(answer)["data"]["result"])

    def _substituted(self, expression: str) -> str:
        for name, value in self._variables():
            expression = expression.replace(name, value)
        return expression

    def _variables(self) -> Iterator[tuple[str, str]]:
        yield from (("$job", ".+"), ("$instance", ".+"), ("$model", ".+"))
        yield "$__rate_interval", f"{self.window.rate_interval}s"
        yield "$__range", f"{math.ceil(self.window.end - self.window.start)}s"
