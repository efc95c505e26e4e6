"""Every kind of damage is found before loading, and the message names the file."""

import json
import struct

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.fetch.directory import check_model_directory
from tests.unit.worker_fetch.model_files import safetensors, shard, write_model

SHARD_2 = "model-00002-of-00003.safetensors"
INDEX = "model.safetensors.index.json"


def damage_of(directory):
    with pytest.raises(ModelSourceError) as caught:
        check_model_directory(directory)
    return caught.value.message


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


@pytest.fixture
def sharded(model):
    return shard(model, 3)


def test_whole_ones_pass(model, tmp_path):
    check_model_directory(model)
    check_model_directory(shard(write_model(tmp_path / "other"), 3))


def test_no_such_directory(tmp_path):
    assert damage_of(tmp_path / "nowhere").startswith(f"{tmp_path}/nowhere does not exist")


def test_a_file_in_its_place(model):
    assert damage_of(model / "config.json").startswith(f"{model}/config.json is a file; a model is a directory")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content", ["", '{"model_type": "lla', "[1, 2]", "\udcff", "[" * 100_000], ids=["empty", "cut", "list", "bytes", "deep"]
)
def test_broken_json(model, name, content):
    (model / name).write_bytes(content.encode(errors="surrogateescape"))
    assert damage_of(model).startswith(f"{model}/{name} is not ")


@pytest.mark.parametrize("config", [{}, {"model_type": None}, {"model_type": ""}, {"model_type": 3}])
def test_no_model_type(model, config):
    (model / "config.json").write_text(json.dumps(config))
    assert damage_of(model).startswith(f'{model}/config.json has no "model_type"')


def test_code_of_its_own_is_refused(model):
    (model / "config.json").write_text('{"model_type": "llama", "model_file": "evil.py"}')
    assert "mlxd runs no code that comes with a model" in damage_of(model)


@pytest.mark.parametrize("name", ["config.json", SHARD_2])
def test_missing_file(sharded, name):
    (sharded / name).unlink()
    assert damage_of(sharded).startswith(f"{sharded}/{name} is missing")


def test_missing_shard_without_an_index(sharded):
    (sharded / INDEX).unlink()
    check_model_directory(sharded)
    (sharded / SHARD_2).unlink()
    assert damage_of(sharded).startswith(f"{sharded}/{SHARD_2} is missing")


@pytest.mark.parametrize("name", ["config.json", SHARD_2, "tokenizer.json", INDEX])
def test_dangling_link(sharded, name):
    (sharded / name).unlink()
    (sharded / name).symlink_to("../blobs/gone")
    assert damage_of(sharded).startswith(f"{sharded}/{name} is a link to ../blobs/gone, which does not exist")


def test_a_link_to_the_file_is_as_good(sharded, tmp_path):
    (sharded / SHARD_2).rename(tmp_path / "blob")
    (sharded / SHARD_2).symlink_to(tmp_path / "blob")
    check_model_directory(sharded)


def test_stale_index_beside_whole_weights(sharded):
    """Quantized copies of sharded models often keep the index of the original; mlx-lm does not look at it."""
    for path in sharded.glob("model-*"):
        path.unlink()
    (sharded / "model.safetensors").write_bytes(safetensors())
    check_model_directory(sharded)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": [1]}])
def test_index_without_a_map(sharded, index):
    (sharded / INDEX).write_text(json.dumps(index))
    assert damage_of(sharded).startswith(f'{sharded}/{INDEX} has no "weight_map"')


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", 7])
def test_index_that_points_elsewhere(sharded, name):
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"w": name}}))
    assert damage_of(sharded).startswith(f"{sharded}/{INDEX} names {name!r}")


def test_no_weights(model):
    (model / "model.safetensors").unlink()
    assert damage_of(model).startswith(f"{model} has no weights (model*.safetensors); fetch")


def test_weights_of_another_kind_are_named(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert (
        damage_of(model)
        == f"{model} has no weights (model*.safetensors), only pytorch_model.bin; convert the model for MLX first: mlx_lm.convert"
    )


@pytest.mark.parametrize("keep", [0, 4, 8, 20, -1])
def test_truncated_weights(model, keep):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert damage_of(model).startswith(f"{path} is cut short: it has {path.stat().st_size} bytes")


def test_weights_too_long(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"more")
    assert damage_of(model).startswith(f"{path} is damaged: it has {path.stat().st_size} bytes and its header promises only")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<Q", 1 << 60) + b"x" * 40, "is no safetensors file"),
        (struct.pack("<Q", 4) + b"oops", "has a damaged header"),
        (struct.pack("<Q", 2) + b"[]", "has a damaged header (not a JSON object)"),
        (safetensors(w={"dtype": "F32"}), "has a damaged header (tensor 'w'"),
        (safetensors(w={"data_offsets": [8, 0]}), "has a damaged header (tensor 'w'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer"),
    ],
)
def test_weights_that_are_something_else(model, content, message):
    (model / "model.safetensors").write_bytes(content)
    assert f"{model}/model.safetensors {message}" in damage_of(model)


def test_no_tokenizer(model):
    (model / "tokenizer.json").unlink()
    assert damage_of(model).startswith(f"{model} has no tokenizer")
    (model / "tokenizer.model").write_bytes(b"sentencepiece")
    check_model_directory(model)


def test_what_cannot_be_read(model):
    (model / "config.json").unlink()
    (model / "config.json").mkdir()
    assert damage_of(model) == f"{model}/config.json cannot be read: Is a directory"
