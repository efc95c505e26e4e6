"""Gemma 3's pictures, whose tokens see each other: by every way to attend, a few rows at a time, in layers that see a window."""

import numpy as np
import pytest
from msgspec.structs import replace

from mlxd.worker.engine.plan import Encode
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.attention import rows
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.vision.encoder import Encoder
from tests.support.paged_case import PagedCase, logits_of
from tests.support.seen_prompts import loaded_model, seen_prompt
from tests.support.vision_references import kept_tokens, references

CASE = references("gemma3")["turns"]
PROMPT = seen_prompt("gemma3", "turns")
BLOCK, BLOCKS = 8, 32
ROUNDING = 1e-4


@pytest.fixture(params=["grouped", "fused"])
def model(request):
    loaded = loaded_model("gemma3")
    model = PagedModel(loaded.model, Geometry(BLOCK, BLOCKS), fused=request.param == "fused")
    model.resize(Geometry(BLOCK, BLOCKS), {24: Geometry(BLOCK, BLOCKS)})
    Encoder(loaded.model, model.sight).run([Encode(one.content, one, 1000.0) for one in PROMPT.inputs])
    yield model
    model.remove()


def error(model, size, media=PROMPT.media):
    case = PagedCase("turns", tuple(CASE.every_token()), media, (Run(0, BLOCKS),), windows=1)
    logits = np.concatenate([logits_of(model, chunk)[0] for chunk in case.chunks(size)])
    return np.abs(logits[:, kept_tokens(logits.shape[1])] - CASE.arrays["columns"]).max() / CASE.arrays["last"].std()


def test_it_has_layers_that_see_a_window_and_layers_that_do_not(model):
    assert {layer.window for layer in model.layers} == {24, None}
    assert all(len(span) == 16 and span.mutual for span in PROMPT.media)


@pytest.mark.parametrize("size", [1, 9, 30, 200])
def test_a_picture_is_right_wherever_chunks_end_around_it(model, size):
    assert error(model, size) < ROUNDING


@pytest.mark.parametrize("at_once", [3, 16])
def test_and_where_so_few_rows_attend_at_once(model, monkeypatch, at_once):
    monkeypatch.setattr(rows, "_at_once", lambda *_: at_once)
    assert error(model, 200) < ROUNDING


def test_the_reference_would_show_it_if_its_tokens_saw_only_what_is_before_them(model):
    assert error(model, 200, tuple(replace(span, mutual=False) for span in PROMPT.media)) > 0.05
