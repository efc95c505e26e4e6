import json

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

from mlxd.errors import ModelSourceError
from mlxd.worker.runtime.device import detect_device
from mlxd.worker.runtime.loading import load
from tests.support.tiny_model import EOS, IM_START, make_tiny_model


def quantized(directory, source, dtype):
    """A 4-bit copy of ``source`` with scales of ``dtype``."""
    model, config = load_model(source)
    model.set_dtype(dtype)
    model, config = quantize_model(model, config, group_size=32, bits=4)
    save_model(directory, model)
    save_config(config, directory / "config.json")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (directory / name).write_bytes((source / name).read_bytes())
    return directory


def types(loaded):
    return {value.dtype for _, value in tree_flatten(loaded.model.parameters())}


def test_a_cpu_gets_float32_without_quantization(tiny, tmp_path):
    if detect_device() != "cpu":
        pytest.skip("a GPU keeps the model as stored")
    directory = tmp_path / "quantized"
    directory.mkdir()
    loaded = load(quantized(directory, tiny, mx.float16), dtype="auto", context_limit=None)
    assert (loaded.device, loaded.dtype) == ("cpu", "float32")
    assert types(loaded) == {mx.float32}
    stored, _ = load_model(directory)
    layer = stored.layers[0].mlp.up_proj
    exact = mx.dequantize(
        layer.weight, layer.scales.astype(mx.float32), layer.biases.astype(mx.float32), group_size=layer.group_size, bits=layer.bits
    )
    assert mx.array_equal(loaded.model.layers[0].mlp.up_proj.weight, exact)  # not rounded to float16 on the way


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_explicit_dtype_casts_and_keeps_the_quantization(tiny, tmp_path, dtype):
    directory = tmp_path / "quantized"
    directory.mkdir()
    loaded = load(quantized(directory, tiny, mx.float32), dtype=dtype, context_limit=None)
    assert types(loaded) == {mx.uint32, getattr(mx, dtype)}
    assert loaded.dtype == dtype


def test_weight_bytes_are_what_the_arrays_take(tiny):
    loaded = load(tiny, dtype="float16", context_limit=None)
    assert loaded.weight_bytes == sum(value.nbytes for _, value in tree_flatten(loaded.model.parameters()))


def test_every_end_token_of_the_generation_config_counts(tmp_path):
    model = make_tiny_model(tmp_path)
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [IM_START, 7]}))
    assert load(model, dtype="auto", context_limit=None).end_tokens == {IM_START, 7, EOS}


def test_context_is_the_models_and_may_be_lowered(tiny):
    assert load(tiny, dtype="auto", context_limit=None).context_length == 512
    assert load(tiny, dtype="auto", context_limit=100).context_length == 100


def test_a_larger_context_is_obeyed_and_warned_of(tiny):
    loaded = load(tiny, dtype="auto", context_limit=10**6)
    assert loaded.context_length == 10**6
    assert loaded.facts.context_origin == "context_length in the configuration"
    assert [warning for warning in loaded.facts.warnings if "more than the 512 tokens" in warning]


def test_a_model_mlx_lm_does_not_know_is_a_typed_error(tmp_path):
    model = make_tiny_model(tmp_path)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "unheard_of"}))
    with pytest.raises(ModelSourceError, match="unheard_of"):
        load(model, dtype="auto", context_limit=None)


def test_weights_that_do_not_fit_the_configuration_are_a_typed_error(tmp_path):
    model = make_tiny_model(tmp_path)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    with pytest.raises(ModelSourceError, match="cannot be loaded"):
        load(model, dtype="auto", context_limit=None)
