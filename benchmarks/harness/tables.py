"""Output: tables for people on stdout, and everything as JSON in a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.harness.measurements import Measurements, Metric
from benchmarks.harness.stats import Spread

_console = Console(width=140, highlight=False, markup=False)  # "[" begins a range here, no style


def say(text: str) -> None:
    """A line for people, at once."""
    print(text, flush=True)


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; the first column is text, the others are numbers."""
    say(f"\n{title}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    _console.print(table)


def spread_text(spread: Spread | None, digits: int) -> str:
    """Returns what stands in a table's cell."""
    return spread.text(digits) if spread else "-"


def comparison_title(metric: Metric) -> str:
    """What a table shows, and how to read its cells."""
    return f"{metric.title} ({metric.better} is better; median [least-most] over rounds)"


def print_comparison(measured: Measurements, metric: Metric, ours: str, *, first_column: str = "") -> None:
    """One row a scenario: every server's median and spread, then the ratio of ``ours`` to each other server.

    Ratios are formed round by round; above 1 means more, which ``metric.better`` says to be good or bad.
    """
    servers = measured.servers()
    others = [server for server in servers if server != ours]
    rows = []
    for scenario in measured.scenarios(metric):
        spreads = [measured.spread(metric, scenario, server) for server in servers]
        compared = [measured.ratio(metric, scenario, ours, other) for other in others]
        rows.append([scenario, *(spread_text(one, metric.digits) for one in spreads), *(spread_text(one, 2) for one in compared)])
    print_rows(comparison_title(metric), [first_column, *servers, *(f"{ours} / {other}" for other in others)], rows)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Writes all of it, in the place of what was there: whoever reads meanwhile finds the one or the other."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(document, indent=1, default=str) + "\n")
    new.replace(path)
