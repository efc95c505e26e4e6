"""Each kind of panel, drawn with matplotlib into axes that are there."""

import textwrap
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.dashboard import units
from benchmarks.dashboard.board import Panel
from benchmarks.dashboard.prometheus import Series, Window

BACKGROUND, PANEL, GRID, TEXT, FAINT = "#111217", "#181B1F", "#2C3235", "#D8D9DA", "#9FA3A8"
_HEAT = LinearSegmentedColormap.from_list("heat", [PANEL, "#5A2D0C", "#C4560F", "#FF9830", "#FFE9C7"])


def tile(axes: Axes, panel: Panel, found: Mapping[str, Series]) -> None:
    """Numbers side by side, each on the colour that judges it."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    width = 1 / max(len(found), 1)
    for number, (name, series) in enumerate(found.items()):
        replaced, color = panel.shown(name, series.last)
        axes.axvspan(number * width, (number + 1) * width, color=color, alpha=0.85, lw=0)
        shown = replaced or units.text(series.last, panel.unit, panel.decimals)
        centre = (number + 0.5) * width
        axes.text(centre, 0.40, shown, ha="center", va="center", color="white", fontsize=15 if len(shown) < 12 else 12, weight="bold")
        axes.text(centre, 0.12, name, ha="center", va="center", color="white", fontsize=8)
    if not found:
        axes.text(0.5, 0.4, "no data", ha="center", va="center", color=FAINT, fontsize=12)


def chart(axes: Axes, panel: Panel, found: Mapping[str, Series], window: Window) -> None:
    """Lines, areas or bars."""
    frame(axes, window)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.text(value, panel.unit)))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    times = window.times
    floor = np.zeros(len(times))
    for number, (name, series) in enumerate(found.items()):
        color, label = panel.color(name, number), _label(panel, name, series)
        values = np.nan_to_num(series.values) if panel.stacked else series.values
        if panel.bars:
            axes.bar(times, values, window.step, bottom=floor, color=color, label=label, alpha=0.9)
        elif panel.stacked:
            axes.fill_between(times, floor, floor + values, color=color, alpha=0.45, lw=0, label=label)
            axes.plot(times, floor + values, color=color, lw=1)
        else:
            axes.plot(times, values, color=color, lw=1.4, label=label, marker="." if np.isfinite(values).sum() < 4 else None)
        floor = floor + values if panel.stacked else floor
    axes.set_ylim(bottom=0, top=panel.most and 1.04 * panel.most)
    if found:
        columns = legend_columns(found)
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.14, -0.10),
            ncols=columns,
            frameon=False,
            labelcolor=FAINT,
            fontsize=7.5,
            handlelength=1.2,
            columnspacing=1.0,
        )
    else:
        axes.text(0.5, 0.5, "nothing happened", ha="center", va="center", color=FAINT, fontsize=9, transform=axes.transAxes)


def legend_columns(found: Mapping[str, Series]) -> int:
    """As many as fit under a chart."""
    return 3 if max(map(len, found), default=0) < 9 else 2


def _label(panel: Panel, name: str, series: Series) -> str:
    if not np.isfinite(series.values).any():
        return name
    most = units.text(float(np.nanmax(series.values)), panel.unit)
    return f"{textwrap.shorten(name, 34) or panel.title}  (max {most})"


def heat(axes: Axes, panel: Panel, found: Mapping[str, Series], window: Window) -> None:
    """A column of cells for each moment, a row for each bucket that anything fell into."""
    frame(axes, window)
    bounds = sorted(found, key=float)
    if not bounds:
        return
    cumulative = np.nan_to_num(np.array([found[bound].values for bound in bounds]))
    cells = np.diff(cumulative, axis=0, prepend=0).clip(min=0)
    hit = np.flatnonzero(cells.sum(axis=1))
    if not len(hit):
        return
    low, high = max(hit[0] - 1, 0), min(hit[-1] + 2, len(bounds))
    axes.pcolormesh(
        window.times, np.arange(low, high), cells[low:high] ** 0.5, cmap=_HEAT, shading="nearest", edgecolors=PANEL, linewidth=0.3
    )
    axes.set_yticks(np.arange(low, high) + 0.5, [_bound(bound, panel.unit) for bound in bounds[low:high]])
    axes.set_ylim(low - 0.5, high - 0.5)
    axes.grid(visible=False)


def _bound(bound: str, unit: str) -> str:
    return "+Inf" if bound == "+Inf" else units.text(float(bound), unit)


def timeline(axes: Axes, panel: Panel, found: Mapping[str, Series], window: Window) -> None:
    """A bar for each series, coloured by its state."""
    frame(axes, window)
    axes.grid(visible=False)
    for row, series in enumerate(found.values()):
        for begin, end, value in _runs(series.values):
            text, color = panel.shown("", value)
            left, right = window.times[begin], window.times[end - 1] + window.step
            axes.broken_barh([(left, right - left)], (row - 0.36, 0.72), color=color, alpha=0.85, lw=0)
            if right - left > (window.end - window.start) / 14:
                axes.text((left + right) / 2, row, text, ha="center", va="center", color="white", fontsize=8)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)


def _runs(values: np.ndarray) -> list[tuple[int, int, float]]:
    """(begin, end, value) of every stretch of equal values; those without a value left out."""
    changes = [0, *(np.flatnonzero(np.diff(np.nan_to_num(values, nan=-1))) + 1).tolist(), len(values)]
    return [(begin, end, float(values[begin])) for begin, end in pairwise(changes) if np.isfinite(values[begin])]


def frame(axes: Axes, window: Window) -> None:
    """Axes, grid and hours."""
    axes.set_facecolor(PANEL)
    axes.set_xlim(window.start, window.end)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"))
    axes.tick_params(colors=FAINT, labelsize=7.5, length=0)
    axes.grid(color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
