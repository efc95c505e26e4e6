"""Positions of the rows of a call."""

import mlx.core as mx
import pytest

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.positions import Positions


def chunk(start, count):
    return Chunk("a", start, count, None, (), samples=False)


def test_a_row_for_each_token_has_its_token_s_position():
    assert Positions.of_text([chunk(7, 1), chunk(3, 4)], one_row=False).offset.tolist() == [7, 3, 4, 5, 6]


def test_a_chunk_that_is_one_row_has_the_position_of_its_first_token():
    assert Positions.of_text([chunk(3, 4)], one_row=True).offset.tolist() == [3]


def test_positions_of_three_axes_are_no_offset():
    """A model that asks for one number a row would be rotated wrongly."""
    with pytest.raises(ValueError, match="too many values"):
        _ = Positions((mx.array([1]), mx.array([2]), mx.array([3]))).offset
