"""Values in Grafana's units, as people read them."""

import math

_SUFFIXES = {"reqps": " req/s", "ops": " ops/s", "eps": " events/s"}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """``value`` with its unit."""
    if math.isnan(value):
        return "-"
    if unit == "s":
        return _seconds(value)
    if unit == "percentunit":
        return f"{100 * value:.{0 if decimals is None else decimals}f} %"
    if unit == "bytes":
        return _bytes(value)
    number = _number(value) if decimals is None else f"{value:.{decimals}f}"
    return number + (f" {unit.removeprefix('suffix: ')}" if unit.startswith("suffix: ") else _SUFFIXES.get(unit, ""))


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value / 1000:.3g} K"
    return f"{value:.3g}"


def _seconds(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:.3g} h"
    if value >= 60:
        return f"{value / 60:.3g} min"
    if value >= 1 or value == 0:
        return f"{value:.3g} s"
    return f"{1000 * value:.3g} ms"


def _bytes(value: float) -> str:
    power = min(int(math.log(value, 1024)), len(_BINARY) - 1) if value >= 1 else 0
    return f"{value / 1024**power:.3g} {_BINARY[power]}"
