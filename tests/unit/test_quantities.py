"""Sizes as people read them."""

import pytest

from mlxd import quantities
from mlxd.config.units import parse_size

MIB = 2**20


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1024, "1.0 KiB"),
        (812 * MIB, "812 MiB"),
        (1000 * MIB, "1.0 GiB"),
        (48 * 2**30, "48 GiB"),
        (2**41, "2.0 TiB"),
    ],
)
def test_sizes(count, text):
    assert quantities.size(count) == text


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1025, 32769, 5 * MIB, 5 * MIB + 1, 10 * MIB + 1, 201798272, 999 * MIB + 1, 2**41 + 1])
def test_what_somebody_has_to_write_down_suffices(count):
    text = quantities.least_size(count)
    assert count <= parse_size(text) <= 1.1 * count
