"""Sizes as people read them."""

import pytest

from mlxd import quantities

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
