"""``python -m benchmarks.peers.publish FILE``: the page and the charts of the documentation, from the raw results of a run."""

import argparse
import re
import sys
from pathlib import Path

from benchmarks.harness.tables import say
from benchmarks.peers.chart import DARK, LIGHT, draw
from benchmarks.peers.page import page, picture
from benchmarks.peers.results import Results

_ROOT = Path(__file__).resolve().parents[2]
_BEGIN, _END = "<!-- peers -->", "<!-- end of peers -->"
_MARKED = re.compile(f"({re.escape(_BEGIN)}.*?{re.escape(_END)})", re.DOTALL)


def publish(path: Path, root: Path = _ROOT) -> None:
    """Writes ``benchmarks/PEERS.md`` and ``docs/peers-light.png`` and ``-dark.png`` under ``root``."""
    results = Results.read(path)
    written = [root / "benchmarks" / "PEERS.md", root / "docs" / "peers-light.png", root / "docs" / "peers-dark.png"]
    for file in written:
        file.parent.mkdir(parents=True, exist_ok=True)
    written[0].write_text(page(results))
    _show(root / "README.md")
    draw(results, LIGHT, written[1])
    draw(results, DARK, written[2])
    for file in written:
        say(str(file))


def _show(readme: Path) -> None:
    """Puts the picture between the marks of ``readme``, where it has them."""
    if readme.is_file() and (parts := _MARKED.split(text := readme.read_text()))[1:]:
        readme.write_text(text.replace(parts[1], f"{_BEGIN}\n{picture('docs', page='benchmarks/PEERS.md')}\n{_END}"))


def main() -> int:
    """Publishes what the command line names, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, metavar="FILE", help="that --json of benchmarks.peers wrote")
    parser.add_argument("--to", type=Path, default=_ROOT, metavar="DIRECTORY", help="instead of this checkout")
    args = parser.parse_args()
    publish(args.results, args.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
