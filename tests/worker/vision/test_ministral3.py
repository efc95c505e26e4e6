"""Mistral 3 with the words of Ministral 3: queries are scaled by the place of each, whoever is beside them."""

import json
import shutil

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from mlx_vlm.models.mistral3.language import Ministral3

from mlxd.worker.engine.plan import Encode
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.vision.encoder import Encoder
from mlxd.worker.runtime.vision.plain import plain_logits
from tests.support.paged_case import PagedCase, logits_of
from tests.support.seen_prompts import seen_prompt
from tests.support.vision_references import checkpoint

LONGER = {"rope_theta": 10.0, "rope_type": "default", "llama_4_scaling_beta": 0.5, "original_max_position_embeddings": 10}
PROMPT = seen_prompt("mistral3", "late_picture")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    directory = shutil.copytree(checkpoint("mistral3"), tmp_path_factory.mktemp("ministral3") / "model")
    config = json.loads((directory / "config.json").read_text())
    config["text_config"] |= {"model_type": "ministral3", "rope_parameters": LONGER}
    (directory / "config.json").write_text(json.dumps(config))
    return load(directory, dtype="auto", context_limit=None)


def test_one_alone_is_as_mlx_vlm_computes_it(loaded):
    tokens = mx.array([PROMPT.tokens])
    decoder = loaded.model.language_model.model
    scaling = type(decoder)
    assert issubclass(scaling, Ministral3)
    ours = loaded.model(tokens, cache=make_prompt_cache(loaded.model))
    decoder.__class__ = Ministral3
    try:
        own = loaded.model(tokens, cache=make_prompt_cache(loaded.model))
    finally:
        decoder.__class__ = scaling
    assert mx.allclose(own, ours, atol=1e-5)


def test_rows_at_different_places_are_scaled_each_by_its_own(loaded):
    model = prove_model(loaded, 8, [Manner.IN_PLACE]).model
    model.resize(Geometry(8, 64))
    encoder = Encoder(loaded.model, model.sight)
    (given,) = PROMPT.inputs
    encoder.run([Encode(given.content, given, 100.0)])
    expected = np.array(plain_logits(loaded.model, PROMPT.tokens, PROMPT.media, encoder.tensors(given)))
    seen = PagedCase("seen", tuple(PROMPT.tokens), PROMPT.media, (Run(0, 32),))
    beside = PagedCase("beside", tuple(PROMPT.tokens), PROMPT.media, (Run(32, 64),))
    rows = []
    for at, chunk in enumerate(seen.chunks(7)):
        rows.append(logits_of(model, beside.chunk(at, at + 1), chunk)[1])
    assert np.abs(np.concatenate(rows) - expected).max() < 1e-4 * expected.std()
