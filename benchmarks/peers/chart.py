"""What was measured as a picture: four panels, for pages that are light and for those that are dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")  # no window, on any machine

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.engine import long_prompt, memory, throughput, ttft
from benchmarks.harness.measurements import Measurements, Metric
from benchmarks.harness.servers import MLX_LM, MLXD, OTHER, SIMPLE, VLLM_MLX
from benchmarks.harness.stats import Spread
from benchmarks.peers.results import Results


@dataclass(frozen=True)
class Theme:
    """The colours of a page, and of the servers on it."""

    background: str
    text: str
    faint: str
    grid: str
    servers: dict[str, str]

    def color(self, server: str) -> str:
        """Returns the colour of one server in every panel."""
        return self.servers.get(server, self.faint)


LIGHT = Theme(
    "#FFFFFF",
    "#1F2328",
    "#59636E",
    "#E4E8EC",
    {MLXD: "#1F6FEB", MLX_LM: "#E36209", VLLM_MLX: "#8A8F98", SIMPLE: "#79B8FF", OTHER: "#B392F0"},
)
DARK = Theme(
    "#0D1117",
    "#E6EDF3",
    "#9198A1",
    "#21262D",
    {MLXD: "#58A6FF", MLX_LM: "#F0883E", VLLM_MLX: "#6E7681", SIMPLE: "#1F6FEB", OTHER: "#BC8CFF"},
)


@dataclass(frozen=True)
class Bars:
    """A panel of horizontal bars: what its rows are called, and the scenarios they show."""

    title: str
    metric: Metric
    rows: Sequence[tuple[str, str]]
    scale: float = 1.0  # of the metric's unit to the axis'
    is_logarithmic: bool = False


_GAPS = {"alone: p50": "alone,\nmedian", "beside: p95": "beside,\np95", "beside: max": "beside,\nlongest"}  # and what they are called


def draw(results: Results, theme: Theme, path: Path) -> None:
    """Writes a PNG of some 1,600 pixels."""
    style = {"text.color": theme.text, "axes.labelcolor": theme.faint, "xtick.color": theme.faint, "ytick.color": theme.text}
    with plt.rc_context({**style, "font.size": 9, "font.family": "DejaVu Sans"}):
        figure, axes = plt.subplots(2, 2, figsize=(11, 7.6), facecolor=theme.background)
        figure.subplots_adjust(left=0.075, right=0.975, top=0.865, bottom=0.105, hspace=0.36, wspace=0.34)
        _lines(axes[0][0], results.measured, theme)
        for place, panel in zip((axes[0][1], axes[1][0], axes[1][1]), _panels(results.measured), strict=True):
            _bars(place, results.measured, panel, theme)
        _head(figure, results, theme)
        figure.savefig(path, dpi=145, facecolor=theme.background)
        plt.close(figure)


def _head(figure: plt.Figure, results: Results, theme: Theme) -> None:
    servers = results.measured.servers()
    handles = [plt.Line2D([], [], color=theme.color(server), lw=7, solid_capstyle="butt") for server in servers]
    figure.legend(handles, servers, loc="upper left", bbox_to_anchor=(0.065, 0.965), ncols=len(servers), frameon=False, fontsize=11)
    figure.text(0.075, 0.965, "Servers of MLX models on one machine, side by side", fontsize=14, weight="bold", va="bottom")
    rounds = f"{results.extent}, all servers side by side: median, with the least and the most"
    figure.text(0.075, 0.018, f"{results.where}\n{rounds}", fontsize=7.5, color=theme.faint, va="bottom", linespacing=1.5)


def _panels(measured: Measurements) -> tuple[Bars, Bars, Bars]:
    names = {
        ttft.COLD: "cold",
        ttft.AGAIN: "the same again",
        ttft.OTHER: "another question\nunder the same\nsystem prompt",
    }
    first = [(names.get(scenario, scenario.replace(": ", ",\n")), scenario) for scenario in measured.scenarios(ttft.TTFT)]
    waits = [(label, scenario) for label, scenario in first if not scenario.endswith("p50")]
    gaps = [(label, scenario) for scenario, label in _GAPS.items() if scenario in measured.scenarios(long_prompt.GAP)]
    held = [(scenario.replace(" at once, at most", " at once"), scenario) for scenario in measured.scenarios(memory.MEMORY)]
    return (
        Bars("Time to the first token, s", ttft.TTFT, waits, 1e-3, is_logarithmic=True),
        Bars("Gaps beside a long prompt, ms", long_prompt.GAP, gaps, is_logarithmic=True),
        Bars("Memory of the server's processes, MiB", memory.MEMORY, held),
    )


def _lines(axes: Axes, measured: Measurements, theme: Theme) -> None:
    """Throughput over users: a line for each server and shape of load."""
    _frame(axes, theme, "Throughput over users, tok/s", "more is better")
    users = list(dict.fromkeys(_users(scenario) for scenario in measured.scenarios(throughput.THROUGHPUT)))
    for shape, line in (("equal", (0, (4, 2))), ("mixed", "-")):
        for server in measured.servers():
            found = _spreads(measured, shape, server)
            if not found:
                continue
            places = [users.index(count) for count in found]
            values = [spread.median for spread in found.values()]
            errors = [[spread.median - spread.low for spread in found.values()], [spread.high - spread.median for spread in found.values()]]
            axes.errorbar(places, values, errors, color=theme.color(server), ls=line, lw=2, marker="o", ms=4, capsize=2, elinewidth=1)
    axes.set(xticks=range(len(users)), xticklabels=[str(count) for count in users], xlabel="users at once", ylim=(0, None))
    axes.grid(axis="y", color=theme.grid, lw=0.8)
    handles = [plt.Line2D([], [], color=theme.faint, lw=2, ls=line) for line in ("-", (0, (4, 2)))]
    axes.legend(handles, ["mixed requests", "equal requests"], frameon=False, fontsize=8.5, loc="upper left", handlelength=3)


def _spreads(measured: Measurements, shape: str, server: str) -> dict[int, Spread]:
    """Returns the figures of one line, by users."""
    scenarios = [scenario for scenario in measured.scenarios(throughput.THROUGHPUT) if scenario.startswith(f"{shape},")]
    found = {_users(scenario): measured.spread(throughput.THROUGHPUT, scenario, server) for scenario in scenarios}
    return {users: spread for users, spread in found.items() if spread is not None}


def _users(scenario: str) -> int:
    return int(scenario.partition(", ")[2].split(" ")[0])


def _bars(axes: Axes, measured: Measurements, panel: Bars, theme: Theme) -> None:
    """A group of bars for each row, one for each server, with its figure at its end."""
    _frame(axes, theme, panel.title, f"{'logarithmic; ' if panel.is_logarithmic else ''}less is better")
    servers = measured.servers()
    height = 0.8 / max(len(servers), 1)
    for row, (_, scenario) in enumerate(panel.rows):
        for number, server in enumerate(servers):
            spread = measured.spread(panel.metric, scenario, server)
            if spread is None:
                continue
            low, middle, high = (panel.scale * value for value in (spread.low, spread.median, spread.high))
            place = row - 0.4 + (number + 0.5) * height
            axes.barh(place, middle, 0.86 * height, color=theme.color(server), zorder=2)
            axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], color=theme.text, elinewidth=0.8, capsize=1.5, zorder=3)
            axes.annotate(_figure(middle), (high, place), (4, 0), textcoords="offset points", va="center", fontsize=7.5, color=theme.text)
    axes.set(yticks=range(len(panel.rows)), yticklabels=[label for label, _ in panel.rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color=theme.grid, lw=0.8, zorder=0)
    if panel.is_logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _figure(value)))
    axes.margins(x=0.14)


def _figure(value: float) -> str:
    """Returns three figures: ``0.125``, ``2.49``, ``24.3``, ``1,575``."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _frame(axes: Axes, theme: Theme, title: str, how: str) -> None:
    axes.set_facecolor(theme.background)
    axes.set_title(title, loc="left", fontsize=10.5, weight="bold", color=theme.text, pad=9)
    axes.set_title(how, loc="right", fontsize=8, color=theme.faint, pad=9)
    axes.tick_params(length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)
