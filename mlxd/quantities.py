"""Quantities as they are written for people, wherever they are read: in tables, errors and logs.

A value of the configuration is written exactly instead (``mlxd.config.units``), for it is read back.
"""

import math

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Returns bytes in two digits or more: ``"812 MiB"``, ``"1.2 GiB"``."""
    unit = _unit_of(count)
    return f"{count / 1024**unit:.{_decimals(count, unit)}f} {_UNITS[unit]}"


def least_size(count: int) -> str:
    """Returns bytes as ``size`` does, but no fewer than they are: it is for what somebody has to write down as a limit."""
    unit = _unit_of(count)
    step = 1024**unit / 10 ** _decimals(count, unit)
    return size(math.ceil(count / step) * step)


def _unit_of(count: float) -> int:
    """Returns the power of 1024 that leaves less than 1000."""
    return next((power for power in range(len(_UNITS) - 1) if count < 1000 * 1024**power), len(_UNITS) - 1)


def _decimals(count: float, unit: int) -> int:
    return 1 if unit and (count < 10 * 1024**unit or unit == len(_UNITS) - 1) else 0
