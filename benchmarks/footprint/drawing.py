"""The samples as a picture: footprints over requests, in SVG."""

from itertools import pairwise

from benchmarks.footprint.samples import Samples

_WIDTH, _HEIGHT = 900, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 130, 40, 45
_COLORS = ("#1f77b4", "#d62728", "#2ca02c")
_MIB = 2**20
_LINES = 5


def draw(samples: Samples) -> str:
    """Returns the picture, as SVG."""
    requests = [line["counts"]["requests"] for line in samples.lines]
    most = max((max(samples.series(name)) for name in samples.names), default=1) * 1.1
    across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    last = samples.lines[-1]["counts"]
    title = f"{last['requests']:,} requests, {last['aborts']:,} aborts, {last['reloads']:,} reloads"
    parts = [_text(_LEFT, 24, f"Footprint over {title}", size=15)]
    for step in range(_LINES + 1):
        y = _TOP + up - up * step / _LINES
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + across}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{most * step / _LINES / _MIB:.0f} MiB", anchor="end"))
        x = _LEFT + across * step / _LINES
        parts.append(_text(x, _HEIGHT - 20, f"{requests[-1] * step / _LINES:,.0f}", anchor="middle"))
    for name, color in zip(samples.names, _COLORS, strict=False):
        points = [
            (_LEFT + across * count / max(1, requests[-1]), _TOP + up - up * size / most)
            for count, line in zip(requests, samples.lines, strict=True)
            if (size := line["footprints"].get(name))
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(points))
        parts.append(f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="{path}"/>')
        parts.append(_text(_LEFT + across + 8, points[-1][1] + 4, name, color=color))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leaves out what lies at the same place as its neighbour."""
    return [points[0], *(after for before, after in pairwise(points) if abs(after[0] - before[0]) + abs(after[1] - before[1]) > 0.2)]


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", color: str = "#333") -> str:  # noqa: PLR0913
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{color}">{text}</text>'
