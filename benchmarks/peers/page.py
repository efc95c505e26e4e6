"""The tables of a run as a page of the documentation."""

from collections.abc import Iterator

from benchmarks.engine import long_prompt, memory, throughput, ttft
from benchmarks.harness.measurements import Measurements, Metric
from benchmarks.harness.servers import MLXD
from benchmarks.harness.tables import spread_text
from benchmarks.peers.results import Results

_METRICS = (throughput.THROUGHPUT, ttft.TTFT, long_prompt.GAP, long_prompt.LONG, memory.MEMORY)

_HEAD = """# mlxd beside other servers

<!-- Written by `python -m benchmarks.peers --publish`; do not edit. -->

{picture}

{where}, {rounds}, all servers side by side. A cell is the median over the rounds, `[least-most]`; a ratio is formed within each round, then
the median is taken. [README.md](README.md) says what is measured and what makes it fair.
"""
_PICTURE = """<picture>
  <source media="(prefers-color-scheme: dark)" srcset="{directory}/peers-dark.png">
  <img alt="Throughput over users, time to the first token, gaps of a stream and memory of the servers" src="{directory}/peers-light.png">
</picture>"""


def picture(directory: str, *, page: str | None = None) -> str:
    """Returns the chart as HTML that follows the reader's theme, as a link to ``page`` where one is given."""
    shown = _PICTURE.format(directory=directory)
    return f'<a href="{page}">\n{shown}\n</a>' if page else shown


def page(results: Results) -> str:
    """Returns the text of the page."""
    tables = [table for metric in _METRICS if results.measured.scenarios(metric) for table in _table(results.measured, metric)]
    return "\n".join([_HEAD.format(picture=picture("../docs"), where=results.where, rounds=results.extent), *tables])


def _table(measured: Measurements, metric: Metric) -> Iterator[str]:
    """Yields the lines of one metric's table."""
    servers = measured.servers()
    others = [server for server in servers if server != MLXD]
    yield f"**{metric.title[0].upper()}{metric.title[1:]}** ({metric.better} is better)\n"
    yield _row(["", *servers, *(f"{MLXD} / {other}" for other in others)])
    yield _row(["---"] * (1 + len(servers) + len(others)))
    for scenario in measured.scenarios(metric):
        figures = [spread_text(measured.spread(metric, scenario, server), metric.digits) for server in servers]
        ratios = [spread_text(measured.ratio(metric, scenario, MLXD, other), 2) for other in others]
        yield _row([scenario, *figures, *ratios])
    yield ""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
