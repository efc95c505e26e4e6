"""Positions by time, height and width, beside those of transformers."""

import numpy as np
import pytest

from mlxd.worker.encoded_prompt import Grid, MediaSpan
from mlxd.worker.runtime.vision.mrope import axes, shift
from tests.support.seen_prompts import case_names, seen_prompt
from tests.support.vision_references import references

MODELS = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]


@pytest.mark.parametrize("architecture", MODELS)
def test_positions_are_those_of_transformers_from_wherever_a_chunk_begins(architecture):
    for name in case_names(architecture):
        prompt, known = seen_prompt(architecture, name), references(architecture)[name].arrays.get("positions")
        for start in range(0, len(prompt.tokens), 5):
            found = axes(prompt.media, start, len(prompt.tokens) - start)
            expected = np.tile(np.arange(start, len(prompt.tokens)), (3, 1)) if known is None else known[:, start:]
            assert found.tolist() == expected.tolist(), f"{name} from {start} on"


@pytest.mark.parametrize("architecture", MODELS)
def test_text_behind_pictures_is_further_on_by_what_they_take(architecture):
    for name in case_names(architecture):
        prompt = seen_prompt(architecture, name)
        end = len(prompt.tokens)
        assert end + shift(prompt.media, end) == axes(prompt.media, end, 1)[0, 0], name


def test_a_film_that_lasts_longer_than_it_is_wide():
    film = MediaSpan(2, 2 + 8, b"film", grid=Grid(times=4, rows=1, columns=2, pace=2.5))
    assert axes((film,), 0, 12).tolist() == [
        [0, 1, 2, 2, 4, 4, 7, 7, 9, 9, 10, 11],
        [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 10, 11],
        [0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 10, 11],
    ]


def test_spans_without_a_grid_stand_like_text():
    assert axes((MediaSpan(1, 5, b"picture"),), 0, 6).tolist() == [list(range(6))] * 3
