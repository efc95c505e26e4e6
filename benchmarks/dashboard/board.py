"""The dashboard's file, as far as a picture needs it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.dashboard.prometheus import Prometheus, Series

# Grafana's names of colours, as its dark theme shows them.
COLORS = {"green": "#73BF69", "yellow": "#F2CC0C", "orange": "#FF9830", "red": "#F2495C", "blue": "#5794F2"}
PALETTE = ("#73BF69", "#5794F2", "#B877D9", "#FF9830", "#F2CC0C", "#F2495C", "#8AB8FF", "#CA95E5", "#96D98D", "#FFB357")


@dataclass(frozen=True)
class Annotation:
    """What is marked in every chart."""

    name: str
    color: str
    expression: str
    value_is_time: bool


@dataclass(frozen=True)
class Panel:
    """One of the file's panels; ``raw`` is what Grafana reads."""

    raw: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What Grafana calls it: stat, timeseries, heatmap, state-timeline, table."""
        return str(self.raw["type"])

    @property
    def title(self) -> str:
        """What stands above it."""
        return str(self.raw["title"])

    @property
    def unit(self) -> str:
        """Grafana's name of it."""
        return str(self._defaults["unit"])

    @property
    def decimals(self) -> int | None:
        """None: as many as it takes."""
        return self._defaults.get("decimals")

    @property
    def most(self) -> float | None:
        """Upper end of the axis, where it is given."""
        return self._defaults.get("max")

    @property
    def stacked(self) -> bool:
        """Parts of a whole."""
        return self._defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"

    @property
    def bars(self) -> bool:
        """Tells whether it draws bars, where others have lines."""
        return self._defaults.get("custom", {}).get("drawStyle") == "bars"

    def ask(self, prometheus: Prometheus) -> dict[str, Series]:
        """Its series, by what the legend calls them."""
        found: dict[str, Series] = {}
        for target in self.raw["targets"]:
            ask = prometheus.now if target["instant"] else prometheus.range
            for series in ask(target["expr"]):
                found[_legend(target["legendFormat"], series.labels)] = series
        return found

    def color(self, name: str, number: int) -> str:
        """Of a series; ``number``: its place among the others."""
        for override in self.raw["fieldConfig"]["overrides"]:
            if _matches(override["matcher"], name):
                for one in override["properties"]:
                    if one["id"] == "color":
                        return named(one["value"]["fixedColor"])
        return PALETTE[number % len(PALETTE)]

    def shown(self, name: str, value: float) -> tuple[str | None, str]:
        """The text that stands for a value, if one does, and its colour by mappings and thresholds."""
        for mapping in self._defaults.get("mappings", []):
            options = mapping["options"]
            result = options["result"] if mapping["type"] == "special" else options.get(f"{value:g}")
            if result and (mapping["type"] == "value" or math.isnan(value)):
                return result["text"], named(result["color"])
        reached = [step for step in self._steps(name) if step["value"] is None or value >= step["value"]]
        return None, named(reached[-1]["color"])

    def _steps(self, name: str) -> list[dict[str, Any]]:
        for override in self.raw["fieldConfig"]["overrides"]:
            if _matches(override["matcher"], name):
                for one in override["properties"]:
                    if one["id"] == "thresholds":
                        return list(one["value"]["steps"])
        return list(self._defaults["thresholds"]["steps"])

    @property
    def _defaults(self) -> Mapping[str, Any]:
        return dict(self.raw["fieldConfig"]["defaults"])


@dataclass(frozen=True)
class Board:
    """A dashboard; its ``panels`` are by title."""

    title: str
    panels: Mapping[str, Panel]
    annotations: tuple[Annotation, ...]

    @classmethod
    def read(cls, path: Path) -> "Board":
        """From a file of ``grafana/dashboards``."""
        raw = json.loads(path.read_text())
        panels = {panel["title"]: Panel(panel) for panel in raw["panels"] if panel["type"] != "row"}
        annotations = (
            Annotation(one["name"], named(one["iconColor"]), one["expr"], one["useValueForTime"]) for one in raw["annotations"]["list"]
        )
        return cls(raw["title"], panels, tuple(annotations))


def named(color: str) -> str:
    """As matplotlib wants it."""
    return COLORS.get(color, color)


def _legend(text: str, labels: Mapping[str, str]) -> str:
    return "" if text == "__auto" else re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), text)


def _matches(matcher: Mapping[str, str], name: str) -> bool:
    if matcher["id"] == "byRegexp":
        return re.search(matcher["options"].strip("/"), name) is not None
    return matcher["options"] == name
