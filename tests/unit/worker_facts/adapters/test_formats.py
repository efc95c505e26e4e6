"""What adapters of both formats say, and what cannot be, by file and key or tensor."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from mlxd.adapter_terms import AdapterFormat
from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.directory import read_adapter
from tests.support.adapter_files import MLX_LM, PEFT, write_files, write_mlx_lm, write_peft

Q, V = "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"
LAYERS = {Q: (8, 6), V: (8, 4)}
MAGNITUDES = {Q: np.ones(6, np.float32), V: np.ones(4, np.float32)}


def layers_of(directory):
    return {layer.path: layer for layer in read_adapter(directory).layers}


def refusal(directory):
    with pytest.raises(AdapterSourceError) as raised:
        read_adapter(directory)
    return raised.value.message


@pytest.mark.parametrize(("write", "kind", "scale"), [(write_mlx_lm, AdapterFormat.MLX_LM, 2.0), (write_peft, AdapterFormat.PEFT, 2.0)])
def test_both_formats_say_the_same(tmp_path, write, kind, scale):
    facts = read_adapter(write(tmp_path, LAYERS))
    assert (facts.format, facts.rank, facts.scale, facts.warnings) == (kind, 4, scale, ())
    found = {layer.path: (layer.inputs, layer.outputs, layer.rank, layer.experts) for layer in facts.layers}
    assert found == {Q: (8, 6, 4, 0), V: (8, 4, 4, 0)}


def test_layers_of_experts_have_a_pair_for_each(tmp_path):
    path = "model.layers.1.mlp.switch_mlp.up_proj"
    layer = layers_of(write_mlx_lm(tmp_path, {path: (3, 8, 5)}, rank=2))[path]
    assert (layer.experts, layer.inputs, layer.outputs, layer.rank) == (3, 8, 5, 2)


@pytest.mark.parametrize("write", [write_mlx_lm, write_peft])
def test_of_dora_there_is_a_magnitude(tmp_path, write):
    assert all(layer.magnitude is not None for layer in read_adapter(write(tmp_path, LAYERS, magnitudes=MAGNITUDES)).layers)


def test_peft_scales_and_ranks_by_patterns(tmp_path):
    ranks = {V: 2}
    layers = layers_of(
        write_peft(tmp_path, LAYERS, ranks=ranks, alpha_pattern={"q_proj": 1.0, r".*\.v_proj": 6.0}, rank_pattern={"v_proj": 2})
    )
    assert (layers[Q].rank, layers[Q].scale, layers[V].rank, layers[V].scale) == (4, 0.25, 2, 3.0)


@pytest.mark.parametrize("pattern", [r"model.layers.[0-9]+.self_attn.(q|k)_proj", r"^model\.layers\.\d+\.(?:self_attn|mlp)\.q_proj"])
def test_peft_s_patterns_are_regular_expressions(tmp_path, pattern):
    layers = layers_of(write_peft(tmp_path, LAYERS, alpha_pattern={pattern: 1.0}))
    assert (layers[Q].scale, layers[V].scale) == (0.25, 2.0)


def test_peft_scales_by_the_root_where_it_says_so(tmp_path):
    assert layers_of(write_peft(tmp_path, LAYERS, use_rslora=True))[Q].scale == pytest.approx(8 / math.sqrt(4))


def test_what_is_named_and_has_no_tensors_is_warned_of(tmp_path):
    warned = read_adapter(write_peft(tmp_path / "peft", LAYERS, target_modules=["q_proj", "v_proj", "gate_proj"])).warnings
    assert "gate_proj" in warned[0]
    keys = {"keys": ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"]}
    assert "mlp.up_proj" in read_adapter(write_mlx_lm(tmp_path / "mlx", LAYERS, lora_parameters=keys)).warnings[0]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"fine_tune_type": "full"}, '"fine_tune_type" is "full"'),
        ({"fine_tune_type": "vera"}, '"fine_tune_type" is "vera"'),
        ({"fine_tune_type": "dora"}, f"{Q} has no magnitude"),
        ({"lora_parameters": {"scale": 0.0}}, "would change no layer"),
        ({"lora_parameters": {"scale": "2"}}, '"lora_parameters.scale" is "2"'),
        ({"lora_parameters": {"scale": None}}, '"lora_parameters.scale" is null'),
        ({"lora_parameters": {"scale": 10**400}}, '"lora_parameters.scale" is 1000'),
        ({"lora_parameters": {"rank": 10**400}}, '"lora_parameters.rank" is 1000'),
        ({"lora_parameters": {"rank": 8}}, 'lora_a\' of shape [8, 4] has rank 4, where adapter_config.json "lora_parameters.rank" says 8'),
        ({"lora_parameters": {"keys": ["auto"]}}, f"{Q} is none of the layers"),
        ({"lora_parameters": {"keys": ["self_attn.q_proj"]}}, f"{V} is none of the layers"),
    ],
)
def test_what_mlx_lm_s_configuration_cannot_say(tmp_path, config, said):
    assert said in refusal(write_mlx_lm(tmp_path, LAYERS, **config))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "LOHA"}, '"peft_type" is "LOHA"'),
        ({"modules_to_save": ["lm_head"]}, '"modules_to_save" is set'),
        ({"bias": "lora_only"}, '"bias" is "lora_only"'),
        ({"lora_bias": True}, '"lora_bias" is set'),
        ({"use_dora": True}, "has no magnitude"),
        ({"use_dora": "yes"}, '"use_dora" is "yes"'),
        ({"init_lora_weights": "pissa_niter_4"}, '"init_lora_weights" is "pissa_niter_4"'),
        ({"layer_replication": [[0, 1]]}, '"layer_replication" is set'),
        ({"arrow_config": {"top_k": 2}}, '"arrow_config" is set'),
        ({"r": 16}, "has rank 4, where adapter_config.json for"),
        ({"r": 0}, '"r" is 0'),
        ({"r": 10**400}, '"r" is 1000'),
        ({"bias": ["none"]}, '"bias" is ["none"]'),
        ({"use_rslora": {}}, '"use_rslora" is {}'),
        ({"use_dora": []}, '"use_dora" is []'),
        ({"lora_alpha": 10**400}, '"lora_alpha" is 1000'),
        ({"rank_pattern": {"q_proj": 10**400}}, "the value 1000"),
        ({"alpha_pattern": {"q_proj": -(10**400)}}, "the value -1000"),
        ({"lora_alpha": 0}, "would change no layer"),
        ({"lora_alpha": float("inf")}, '"lora_alpha"'),
        ({"rank_pattern": {"q_proj": 0}}, "\"rank_pattern\" gives 'q_proj' the value 0"),
        ({"alpha_pattern": {"(a+)+": 1}}, "no simple regular expression"),
        ({"alpha_pattern": {"(a?)" * 30 + "a" * 60: 1}}, "no simple regular expression"),
        ({"rank_pattern": {"(a|a)" * 30 + "x": 4}}, "no simple regular expression"),
        ({"target_modules": ["auto"]}, "has no tensor of any layer"),
    ],
)
def test_what_peft_s_configuration_cannot_say(tmp_path, config, said):
    assert said in refusal(write_peft(tmp_path, LAYERS, **config))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("base_model.model.lm_head.weight", (8, 8), "modules_to_save"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", (4, 8), "changes an embedding"),
        ("base_model.model.model.layers.0.mlp.up_proj.bias", (8,), "is a bias"),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", (4, 8), "nothing that is its B"),
        (f"base_model.model.{Q}.lora_A.default.weight", (4, 8), "are the same tensor"),
        (f"base_model.model.{'a' * 300}.lora_A.weight", (4, 8), "a tensor whose name has 331 characters"),
    ],
)
def test_tensors_that_have_no_place_are_named(tmp_path, name, shape, said):
    write_peft(tmp_path, LAYERS)
    tensors = {f"base_model.model.{Q}.lora_A.weight": (4, 8), f"base_model.model.{Q}.lora_B.weight": (6, 4), name: shape}
    save_file({one: np.ones(of, np.float32) for one, of in tensors.items()}, tmp_path / PEFT)
    message = refusal(tmp_path)
    assert said in message
    assert PEFT in message


@pytest.mark.parametrize(("a", "b"), [((8, 4), (3, 6)), ((8,), (4, 6)), ((2, 4, 8), (3, 6, 4)), ((8, 0), (0, 6))])
def test_pairs_that_do_not_go_together_are_named(tmp_path, a, b):
    write_mlx_lm(tmp_path, LAYERS)
    save_file({f"{Q}.lora_a": np.ones(a, np.float32), f"{Q}.lora_b": np.ones(b, np.float32)}, tmp_path / MLX_LM)
    message = refusal(tmp_path)
    assert f"{Q}.lora_a" in message
    assert f"{Q}.lora_b" in message


def test_numbers_of_another_type_are_named(tmp_path):
    write_mlx_lm(tmp_path, LAYERS)
    save_file({f"{Q}.lora_a": np.ones((8, 4), np.int32), f"{Q}.lora_b": np.ones((4, 6), np.float32)}, tmp_path / MLX_LM)
    assert "is of type I32" in refusal(tmp_path)


def test_what_is_missing_or_damaged_is_named(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere")
    whole = write_mlx_lm(tmp_path / "whole", LAYERS)
    assert "is a file" in refusal(whole / MLX_LM)
    config, weights = whole / "adapter_config.json", whole / MLX_LM
    weights.write_bytes(weights.read_bytes()[:-5])
    assert f"{weights} is cut short" in refusal(whole)
    weights.unlink()
    assert f"{weights} is missing; fetch or copy the adapter again" in refusal(whole)
    (whole / "adapters.npz").write_bytes(b"PK")
    assert "adapters.npz is no safetensors file" in refusal(whole)
    config.write_text("{")
    assert f"{config} is not valid JSON" in refusal(whole)
    config.write_text(json.dumps({"rank": 3}))
    assert "neither" in refusal(whole)
    config.unlink()
    assert f"{config} is missing" in refusal(whole)


def test_pickled_weights_are_not_read(tmp_path):
    directory = write_peft(tmp_path, LAYERS)
    (directory / PEFT).rename(directory / "adapter_model.bin")
    assert "adapter_model.bin is no safetensors file" in refusal(directory)


def test_nothing_at_all_is_no_adapter(tmp_path):
    config = {"fine_tune_type": "lora", "lora_parameters": {"rank": 4, "scale": 1.0}}
    assert "would change no layer" in refusal(write_files(tmp_path, config, {}, MLX_LM))
