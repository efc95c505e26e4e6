"""Quantities as they are written for people, wherever they are read: in tables, errors and logs.

A value of the configuration is written exactly instead (``mlxd.config.units``), for it is read back.
"""


def size(count: float) -> str:
    """Returns bytes in two digits or more: ``"812 MiB"``, ``"1.2 GiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if count < 10 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
