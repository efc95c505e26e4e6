"""The panels of the overview that say most, from top to bottom, in one picture."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from benchmarks.dashboard import draw
from benchmarks.dashboard.board import Annotation, Board, Panel
from benchmarks.dashboard.layout import COLUMNS, ROWS
from benchmarks.dashboard.prometheus import Prometheus

UNIT = 54  # pixels of a column
GAP, HEADER = 8, 64  # pixels
COLORS = 200  # of the file: flat areas need no more, and it is a third as large
DPI = 100


def render(board: Board, prometheus: Prometheus, caption: str, out: Path) -> None:
    """Ask for everything, draw it, write the PNG."""
    width = COLUMNS * UNIT
    height = HEADER + sum(row_height + GAP for row_height, _ in ROWS) + GAP
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=draw.BACKGROUND)
    events = [(one, list(_times(one, prometheus))) for one in board.annotations]
    _header(figure, board, caption, [one for one, times in events if times])
    top = HEADER
    for row_height, titles in ROWS:
        left = 0
        for title, columns in titles.items():
            box = (left * UNIT + GAP / 2, top, columns * UNIT - GAP, row_height)
            _panel(figure, board.panels[title], prometheus, box, events)
            left += columns
        top += row_height + GAP
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor=draw.BACKGROUND)
    Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(out, optimize=True)


def _panel(
    figure: Figure,
    panel: Panel,
    prometheus: Prometheus,
    box: tuple[float, float, float, float],
    events: list[tuple[Annotation, list[float]]],
) -> None:
    left, top, width, height = box
    if panel.kind == "heatmap":  # cells, not hairlines
        prometheus = Prometheus(prometheus.url, prometheus.window.coarser(4))
    found = panel.ask(prometheus)
    _background(figure, box)
    figure.text(*_point(figure, left + 10, top + 14), panel.title, color=draw.TEXT, fontsize=9.5, va="center")
    if panel.kind == "stat":
        return draw.tile(_axes(figure, (left, top + 26, width, height - 26)), panel, found)
    legend = 20 + 15 * -(-len(found) // draw.legend_columns(found)) if panel.kind == "timeseries" else 22
    margin = 62 if panel.kind != "state-timeline" else 80
    axes = _axes(figure, (left + margin, top + 30, width - margin - 14, height - 34 - max(legend, 24)))
    kinds = {"timeseries": draw.chart, "heatmap": draw.heat, "state-timeline": draw.timeline}
    kinds[panel.kind](axes, panel, found, prometheus.window)
    for annotation, times in events:
        for at in times:
            axes.axvline(at, color=annotation.color, lw=0.9, ls=(0, (4, 3)), alpha=0.9)
    return None


def _times(annotation: Annotation, prometheus: Prometheus) -> Iterator[float]:
    """When it happened: each begin of a stretch in which the expression has values, or the values themselves."""
    window = prometheus.window
    for series in prometheus.range(annotation.expression):
        if annotation.value_is_time:
            yield from sorted({value / 1000 for value in series.values if window.start < value / 1000 < window.end})
            continue
        before = False
        for at, value in zip(window.times, series.values, strict=True):
            if value > 0 and not before:
                yield float(at)
            before = value > 0


def _header(figure: Figure, board: Board, caption: str, marked: list[Annotation]) -> None:
    figure.text(*_point(figure, 12, 22), board.title, color=draw.TEXT, fontsize=15, weight="bold", va="center")
    figure.text(*_point(figure, 12, 46), caption, color=draw.FAINT, fontsize=8.5, va="center")
    right = COLUMNS * UNIT - 12
    for annotation in reversed(marked):
        figure.text(*_point(figure, right, 22), f"¦ {annotation.name}", color=annotation.color, fontsize=9, va="center", ha="right")
        right -= 30 + 7 * len(annotation.name)


def _background(figure: Figure, box: tuple[float, float, float, float]) -> None:
    left, top, width, height = box
    x, y = _point(figure, left, top + height)
    size = (width / _width(figure), height / _height(figure))
    style = "round,pad=0,rounding_size=0.002"
    figure.patches.append(
        FancyBboxPatch((x, y), *size, boxstyle=style, transform=figure.transFigure, fc=draw.PANEL, ec=draw.GRID, lw=0.8, zorder=-1)
    )


def _axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    left, top, width, height = box
    x, y = _point(figure, left, top + height)
    return figure.add_axes((x, y, width / _width(figure), height / _height(figure)))


def _point(figure: Figure, x: float, y: float) -> tuple[float, float]:
    """Pixels from the upper left corner, as shares of the figure from the lower left."""
    return x / _width(figure), 1 - y / _height(figure)


def _width(figure: Figure) -> float:
    return float(figure.get_figwidth() * DPI)


def _height(figure: Figure) -> float:
    return float(figure.get_figheight() * DPI)
