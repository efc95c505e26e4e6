"""What is no number is found when a model is loaded, whatever its runner."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlxd.errors import ModelSourceError
from mlxd.wire.messages import LoadFailed, Ready
from mlxd.worker.runtime.loading import load
from tests.support.tiny_model import VOCAB, make_tiny_model
from tests.worker.worker_link import MODES, in_thread

NORM, HEAD, EMBEDDING = "model.norm.weight", "lm_head.weight", "model.embed_tokens.weight"


@pytest.fixture
def model(tmp_path):
    return make_tiny_model(tmp_path)


def spoil(model, name, change):
    path = model / "model.safetensors"
    weights = load_file(path)
    change(weights[name])
    save_file(weights, path, metadata={"format": "mlx"})
    return model


def put(row, value):
    def change(weight):
        weight[row] = value

    return change


@pytest.mark.parametrize("mode", MODES)
async def test_no_runner_becomes_ready_on_a_weight_that_is_no_number(model, mode):
    spoil(model, NORM, put(3, np.nan))
    async with in_thread() as link:
        failed = await link.load(model, **MODES[mode])
    assert isinstance(failed, LoadFailed)
    assert f"{model}: the weight {NORM} holds values that are infinite or not a number" in failed.error.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "row"), [(HEAD, 7), (EMBEDDING, 250), ("model.layers.1.mlp.up_proj.weight", 0)])
def test_the_weight_is_named(model, name, row, value):
    with pytest.raises(ModelSourceError, match=name):
        load(spoil(model, name, put(row, value)), dtype="auto", context_limit=None)


def test_weights_too_large_for_the_type_are_refused_in_it_and_fine_in_another(model):
    spoil(model, EMBEDDING, put((5, 5), 1e5))
    assert load(model, dtype="float32", context_limit=None).vocab_size == VOCAB
    with pytest.raises(ModelSourceError, match=f"{EMBEDDING}.*dtype"):
        load(model, dtype="float16", context_limit=None)


def test_activations_too_large_for_the_type_are_refused(model):
    """Every weight is a number; what is computed with them is none."""

    def grow(weight):
        weight *= 3e4

    spoil(model, "model.layers.0.mlp.down_proj.weight", grow)
    assert load(model, dtype="float32", context_limit=None).vocab_size == VOCAB
    with pytest.raises(ModelSourceError, match=r'logits are infinite or not numbers in float16.*dtype = "bfloat16"'):
        load(model, dtype="float16", context_limit=None)


def test_many_large_numbers_are_numbers_all_the_same(model):
    """Their sum in half precision is infinite."""
    spoil(model, NORM, put(slice(None), 2000.0))
    spoil(model, HEAD, put(slice(None), 1e-3))
    assert load(model, dtype="float16", context_limit=None).dtype == "float16"


async def test_the_vocabulary_is_what_the_model_has_logits_for(tmp_path):
    """Not what a key of its configuration says."""
    model = make_tiny_model(tmp_path, text_config={"vocab_size": 999_999})
    config = json.loads((model / "config.json").read_text())
    assert config["text_config"]["vocab_size"] == 999_999
    async with in_thread() as link:
        ready = await link.load(model)
        assert isinstance(ready, Ready)
        assert (ready.vocab_size, ready.facts.vocabulary_origin) == (VOCAB, "the width of the model's logits")
        assert (await link.ask("beyond", [VOCAB])).error.code == "invalid_request"
        assert (await link.ask("bias", [1], logit_bias={VOCAB: 1.0})).error.param == "logit_bias"
