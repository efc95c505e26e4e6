"""Weights that are not packed as the configuration says."""

import json

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.directory import DirectoryFacts
from tests.unit.worker_fetch.model_files import safetensors, write_model

TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.fixture
def model(tmp_path):
    """Makes a model with a configuration and tensors of the test's choice."""

    def make(config, *tensors):
        directory = write_model(tmp_path / "model")
        (directory / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
        for number, tensor in enumerate(tensors):
            name = f"model-{number + 1:05}-of-{len(tensors):05}.safetensors"
            (directory / name).write_bytes(safetensors(**{tensor: TENSOR}))
        if tensors:
            (directory / "model.safetensors").unlink()
        return directory

    return make


@pytest.mark.parametrize("method", ["awq", "gptq", "bitnet"])
def test_a_method_by_which_nothing_is_packed_is_named(model, method):
    with pytest.raises(ModelSourceError, match=rf'config.json: "quantization_config.quant_method" is "{method}", but'):
        DirectoryFacts.read(model({"quantization_config": {"quant_method": method, "bits": 4}}))


def test_that_of_a_part_is_named_too(model):
    with pytest.raises(ModelSourceError, match=r'"text_config.quantization_config.quant_method" is "awq"'):
        DirectoryFacts.read(model({"text_config": {"quantization_config": {"quant_method": "awq"}}}))


@pytest.mark.parametrize(
    ("config", "tensors"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, ["a.weight", "b.qweight"]),
        ({"quantization_config": {"quant_method": "gptq"}}, ["b.qweight"]),
        ({"quantization_config": {"quant_method": "bitnet"}}, ["b.weight_scale"]),
        ({"quantization_config": {"quant_method": "mxfp4"}}, []),
        ({"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"quant_method": "awq"}}, []),
    ],
)
def test_what_is_packed_so_or_by_another_method_passes(model, config, tensors):
    DirectoryFacts.read(model(config, *tensors))
