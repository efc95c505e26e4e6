"""The shipped dashboards, as their panels and expressions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grafana.generate import DIRECTORY

# What Grafana puts in the place of variables: everything is chosen, an hour is shown, and Prometheus scrapes every 15 seconds.
SUBSTITUTES = {"$job": ".+", "$instance": ".+", "$model": ".+", "$__rate_interval": "1m", "$__range": "1h"}


@dataclass(frozen=True)
class Expression:
    """``text``: as it is written, with variables. ``instant``: asked for now only."""

    dashboard: str
    panel: str
    panel_id: int
    ref: str
    text: str
    instant: bool

    def substituted(self, **others: str) -> str:
        """For Prometheus; ``others`` replace values of ``SUBSTITUTES``, by name without the dollar sign."""
        text = self.text
        for name, value in (SUBSTITUTES | {f"${name}": value for name, value in others.items()}).items():
            text = text.replace(name, value)
        return text

    def __str__(self) -> str:
        return f"{self.dashboard}, {self.panel!r}, {self.ref}"


def paths() -> list[Path]:
    return sorted(DIRECTORY.glob("*.json"))


def dashboards() -> list[dict]:
    return [json.loads(path.read_text()) for path in paths()]


def panels(dashboard: dict) -> list[dict]:
    """All but rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[Expression]:
    """Of every panel of every dashboard."""
    for dashboard in dashboards():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Expression(dashboard["title"], panel["title"], panel["id"], target["refId"], target["expr"], target["instant"])


def annotations() -> Iterator[Expression]:
    """Of the events that are marked in the panels; most have nothing to tell, most of the time."""
    for dashboard in dashboards():
        for number, one in enumerate(dashboard["annotations"]["list"]):
            yield Expression(dashboard["title"], f"annotation {one['name']}", 1000 + number, "A", one["expr"], instant=False)
