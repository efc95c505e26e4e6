"""Values with their unit in them: durations, sizes, shares of memory.

Each parses from TOML text, prints back as text that parses to the same value, and raises ``ValueError`` saying
what the value must be.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# For editors and the manual; the parsers below decide.
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?\s*(B|[KMGT]i?B)$"
SHARE_PATTERN = r"^(auto|[0-9]+(\.[0-9]+)?\s*(%|B|[KMGT]i?B))$"

QUOTA_PATTERN = r"^[0-9]+(\.[0-9]+)?\s*(%|B|[KMGT]i?B)$"

_NUMBER_WITH_UNIT = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,40})?)\s*([A-Za-z]+)")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,40})?)\s*%")
_MAX_DURATION = Decimal(3650 * 86400)
_MAX_SIZE = 2**60


def parse_duration(value: object) -> float:
    """Reads ``"200ms"``, ``"30s"``, ``"10m"``, ``"1h"``, ``"2d"`` as seconds."""
    found = _NUMBER_WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or found[2] not in _SECONDS:
        raise ValueError("must be a duration with its unit, such as " + (_example(value, "s") or '"200ms", "30s", "10m" or "1h"'))
    seconds = Decimal(found[1]) * _SECONDS[found[2]]
    if seconds > _MAX_DURATION:
        raise ValueError('must be at most "3650d"')
    return float(seconds)


def parse_size(value: object) -> int:
    """Reads ``"32MiB"``, ``"2GB"``, ``"0B"`` as bytes; a fraction of a byte is dropped."""
    found = _NUMBER_WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or found[2] not in _BYTES:
        raise ValueError("must be a size with its unit, such as " + (_example(value, "B") or '"512MiB" or "2GiB"'))
    size = int(Decimal(found[1]) * _BYTES[found[2]])
    if size > _MAX_SIZE:
        raise ValueError('must be at most "1048576TiB"')
    return size


def _example(value: object, unit: str) -> str | None:
    """Returns a bare number with its unit, where one was given."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return f'"{value}{unit}"' if is_number else None


def format_duration(seconds: float) -> str:
    """Returns the shortest exact text: ``"10m"`` of ``600.0``, ``"200ms"`` of ``0.2``."""
    exact = Decimal(repr(float(seconds)))
    if not exact:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if exact % _SECONDS[unit] == 0:
            return f"{int(exact / _SECONDS[unit])}{unit}"
    return f"{_plain(exact)}s" if exact > 1 else f"{_plain(exact * 1000)}ms"


def format_size(size: int) -> str:
    """Returns the shortest exact text: ``"32MiB"`` of ``33554432``."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _plain(number: Decimal) -> str:
    """Writes a number without an exponent and without trailing zeros."""
    return f"{number.normalize():f}"


@dataclass(frozen=True)
class MemoryShare:
    """A share is ``"auto"``, a percentage of some total, or an absolute size. At most one field is set; ``auto`` is neither."""

    size: int | None = None  # bytes
    fraction: float | None = None  # above 0, at most 1

    @property
    def is_auto(self) -> bool:
        """Whether neither a size nor a percentage is given."""
        return self.size is None and self.fraction is None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads TOML text, or passes a share that is read already."""
        if isinstance(value, cls):
            return value
        if value == "auto":
            return cls()
        if isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())):
            percent = Decimal(found[1])
            if not 0 < percent <= 100:
                raise ValueError("must lie above 0% and at most at 100%")
            return cls(fraction=float(percent / 100))
        if isinstance(value, str) and _NUMBER_WITH_UNIT.fullmatch(value.strip()):
            size = parse_size(value)
            if not size:
                raise ValueError('must be more than "0B"')
            return cls(size=size)
        raise ValueError('must be "auto", a percentage such as "10%" or a size such as "2GiB"')

    def __str__(self) -> str:
        if self.size is not None:
            return format_size(self.size)
        return "auto" if self.fraction is None else f"{_plain(Decimal(repr(self.fraction)) * 100)}%"


def parse_quota(value: object) -> MemoryShare:
    """Reads a share that is not left to mlxd: ``"30%"``, ``"2GiB"``."""
    try:
        share = MemoryShare.parse(value)
    except ValueError as error:
        raise ValueError(str(error).replace('"auto", ', "")) from None
    if share.is_auto:
        raise ValueError('must be a percentage such as "30%" or a size such as "2GiB"')
    return share


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN}),
]
Share = Annotated[
    MemoryShare,
    BeforeValidator(MemoryShare.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": SHARE_PATTERN}),
]
Quota = Annotated[
    MemoryShare,
    BeforeValidator(parse_quota),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": QUOTA_PATTERN}),
]
