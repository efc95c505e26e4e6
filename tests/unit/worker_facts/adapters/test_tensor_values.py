"""The values of adapters: as they are stored, whatever the format and the type."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.directory import read_adapter
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter
from tests.support.adapter_files import MLX_LM, write_mlx_lm, write_peft

PATH = "model.layers.0.mlp.up_proj"
LAYERS = {PATH: (8, 6), "model.layers.1.mlp.up_proj": (8, 6)}


def examined(directory):
    return ExaminedAdapter.of(read_adapter(directory))


def save_as_bfloat16(tensors, path):
    """The upper halves of float32: numpy has no type for what they are."""
    header, parts = {}, b""
    for name, value in tensors.items():
        data = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [len(parts), len(parts) + len(data)]}
        parts += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + parts)


def test_both_formats_have_the_same_values(tmp_path):
    of_mlx_lm, of_peft = (list(examined(write(tmp_path / write.__name__, LAYERS)).values()) for write in (write_mlx_lm, write_peft))
    assert len(of_mlx_lm) == 2
    for one, other in zip(of_mlx_lm, of_peft, strict=True):
        assert one.path == other.path
        assert one.a.shape == (8, 4)
        assert one.b.shape == (4, 6)
        np.testing.assert_array_equal(one.a, other.a)
        np.testing.assert_array_equal(one.b, other.b)


def test_the_scale_is_in_the_second_matrix(tmp_path):
    directory = write_mlx_lm(tmp_path, LAYERS, scale=3.0)
    stored = load_file(directory / MLX_LM)
    (layer, _) = examined(directory).values()
    np.testing.assert_array_equal(layer.b, stored[f"{PATH}.lora_b"] * 3)


def test_a_scale_that_makes_no_number_is_refused(tmp_path):
    with pytest.raises(AdapterSourceError, match=r"lora_b' times its scale, 1e\+39, is too large"):
        examined(write_mlx_lm(tmp_path, LAYERS, scale=1e39))


def test_another_scale_in_the_configuration_alone_makes_it_another_adapter(tmp_path):
    before = examined(write_mlx_lm(tmp_path, LAYERS, scale=1.0))
    assert not before.is_stale
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace('"scale": 1.0', '"scale": 2.0'))
    assert before.is_stale
    assert examined(tmp_path).identity != before.identity


def test_weights_that_are_exchanged_after_their_header_was_read_are_refused(tmp_path):
    facts = read_adapter(write_mlx_lm(tmp_path, LAYERS, seed=1))
    write_mlx_lm(tmp_path / "other", LAYERS, seed=2)
    (tmp_path / "other" / MLX_LM).replace(tmp_path / MLX_LM)
    with pytest.raises(AdapterSourceError, match="was changed while it was looked at"):
        ExaminedAdapter.of(facts)


def test_half_precision_is_read_to_the_bit(tmp_path):
    directory = write_mlx_lm(tmp_path, {PATH: (8, 6)}, scale=1.0)
    stored = load_file(directory / MLX_LM)
    save_file({name: value.astype(np.float16) for name, value in stored.items()}, directory / MLX_LM)
    (half,) = examined(directory).values()
    np.testing.assert_array_equal(half.a, stored[f"{PATH}.lora_a"].astype(np.float16).astype(np.float32))
    save_as_bfloat16(stored, directory / MLX_LM)
    (half,) = examined(directory).values()
    np.testing.assert_array_equal(half.a.view(np.uint32), stored[f"{PATH}.lora_a"].view(np.uint32) & 0xFFFF0000)


def test_what_gives_the_same_answers_is_the_same(tmp_path):
    first, again = (examined(write_mlx_lm(tmp_path / name, LAYERS)).identity for name in ("first", "again"))
    assert first == again
    others = [write_mlx_lm(tmp_path / "scale", LAYERS, scale=2.5), write_mlx_lm(tmp_path / "seed", LAYERS, seed=1)]
    others.append(write_mlx_lm(tmp_path / "place", {path.replace("up", "down"): shape for path, shape in LAYERS.items()}))
    assert len({first, *(examined(other).identity for other in others)}) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_named(tmp_path, value):
    directory = write_mlx_lm(tmp_path, LAYERS)
    stored = load_file(directory / MLX_LM)
    stored[f"{PATH}.lora_b"][1, 2] = value
    save_file(stored, directory / MLX_LM)
    with pytest.raises(AdapterSourceError, match=f"'{PATH}.lora_b' holds values that are NaN or infinite"):
        examined(directory)


def test_layers_that_add_nothing_are_none_that_are_changed(tmp_path):
    directory = write_mlx_lm(tmp_path, LAYERS)
    stored = load_file(directory / MLX_LM)
    stored[f"{PATH}.lora_b"][:] = 0
    save_file(stored, directory / MLX_LM)
    assert [layer.path for layer in examined(directory).layers] == ["model.layers.1.mlp.up_proj"]
    save_file({name: value * (not name.endswith("lora_b")) for name, value in stored.items()}, directory / MLX_LM)
    with pytest.raises(AdapterSourceError, match="would change no layer"):
        examined(directory)


def test_a_file_that_changes_is_not_read_as_what_it_was(tmp_path):
    directory = write_mlx_lm(tmp_path, LAYERS)
    known = examined(directory)
    os.utime(directory / MLX_LM, ns=(1, 1))
    with pytest.raises(AdapterSourceError, match="was changed"):
        list(known.values())
