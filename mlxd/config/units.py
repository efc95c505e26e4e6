"""Values with their unit in them: durations, sizes, shares of memory.

Each parses from TOML text, prints back as text, and raises ``ValueError`` with what would be right.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_NUMBER_WITH_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def parse_duration(value: object) -> float:
    """``"200ms"``, ``"30s"``, ``"10m"``, ``"1h"`` to seconds."""
    if isinstance(value, str) and (found := _NUMBER_WITH_UNIT.fullmatch(value.strip())) and found[2] in _SECONDS:
        return float(found[1]) * _SECONDS[found[2]]
    raise ValueError('expected a duration with its unit, such as "200ms", "30s", "10m" or "1h"')


def parse_size(value: object) -> int:
    """``"32MiB"``, ``"2GB"``, ``"0B"`` to bytes."""
    if isinstance(value, str) and (found := _NUMBER_WITH_UNIT.fullmatch(value.strip())) and found[2] in _BYTES:
        return int(float(found[1]) * _BYTES[found[2]])
    raise ValueError('expected a size with its unit, such as "512MiB" or "2GiB"')


def format_duration(seconds: float) -> str:
    """The shortest exact text: ``600`` to ``"10m"``."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and (seconds / _SECONDS[unit]).is_integer():
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{seconds * 1000:g}ms"


def format_size(size: int) -> str:
    """The shortest exact text: ``33554432`` to ``"32MiB"``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


class MemoryShare:
    """``"auto"``, a percentage of some total, or an absolute size. Exactly one is set; ``auto`` is neither."""

    __slots__ = ("fraction", "size")

    def __init__(self, *, size: int | None = None, fraction: float | None = None) -> None:
        self.size = size
        self.fraction = fraction

    @classmethod
    def parse(cls, value: object) -> "MemoryShare":
        """From TOML text. A value that is one already passes."""
        if isinstance(value, cls):
            return value
        if value == "auto":
            return cls()
        if isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())):
            if not 0 < float(found[1]) <= 100:
                raise ValueError("a percentage must lie above 0% and at most at 100%")
            return cls(fraction=float(found[1]) / 100)
        try:
            return cls(size=parse_size(value))
        except ValueError:
            raise ValueError('expected "auto", a percentage such as "10%" or a size such as "2GiB"') from None

    def __str__(self) -> str:
        if self.size is not None:
            return format_size(self.size)
        return "auto" if self.fraction is None else f"{self.fraction * 100:g}%"

    def __repr__(self) -> str:
        return f"MemoryShare({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryShare) and (self.size, self.fraction) == (other.size, other.fraction)

    def __hash__(self) -> int:
        return hash((self.size, self.fraction))


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*(B|[KMGT]i?B)$"}),
]
Share = Annotated[
    MemoryShare,
    BeforeValidator(MemoryShare.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(auto|\d+(\.\d+)?\s*%|\d+(\.\d+)?\s*(B|[KMGT]i?B))$"}),
]
