"""Draw the main panels of ``mlxd overview`` from a Prometheus, where no Grafana is at hand.

    python -m benchmarks.render_dashboard --prometheus http://127.0.0.1:9090 --out dashboard.png --minutes 30

The panels, their queries, units and colours are read from ``grafana/dashboards/mlxd-overview.json``; only the drawing is not Grafana's.
Needs matplotlib: ``pip install -e '.[bench]'``.
"""

import argparse
import time
from pathlib import Path

from benchmarks.dashboard.board import Board
from benchmarks.dashboard.picture import render
from benchmarks.dashboard.prometheus import Prometheus, Window

DASHBOARD = Path(__file__).parents[1] / "grafana/dashboards/mlxd-overview.json"
CAPTION = "drawn from real data by render_dashboard.py, not Grafana"


def main() -> None:
    """Of the command line."""
    arguments = _parser().parse_args()
    end = arguments.end or time.time()
    window = Window.over(end - 60 * arguments.minutes, end, arguments.rate_interval)
    draw(Prometheus(arguments.prometheus, window), arguments.out, arguments.note)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")


def draw(prometheus: Prometheus, out: Path, note: str) -> None:
    """``note`` stands beside the caption."""
    render(Board.read(DASHBOARD), prometheus, " · ".join(filter(None, [CAPTION, note])), out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.render_dashboard", description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", metavar="URL", default="http://127.0.0.1:9090")
    parser.add_argument("--out", metavar="FILE.png", type=Path, default=Path("dashboard.png"))
    parser.add_argument("--minutes", type=float, default=60, help="how much is shown (60)")
    parser.add_argument("--end", metavar="UNIX_TIME", type=float, help="until when (now)")
    parser.add_argument("--rate-interval", metavar="SECONDS", type=int, default=60, help="of rates; at least four scrape intervals (60)")
    parser.add_argument("--note", default="", help="stands beside the caption")
    return parser


if __name__ == "__main__":
    main()
