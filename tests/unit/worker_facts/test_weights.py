import json
import re

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.weights import INDEX, find_weights
from tests.unit.worker_fetch.model_files import safetensors, shard, write_model

WHOLE = "model.safetensors"
SHARDS = tuple(f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3))


def tensor(name):
    return safetensors(**{name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})


@pytest.fixture
def whole(tmp_path):
    return write_model(tmp_path / "whole")


@pytest.fixture
def sharded(tmp_path):
    return shard(write_model(tmp_path / "sharded"), 3)


def refusal(directory):
    with pytest.raises(ModelSourceError) as caught:
        find_weights(directory)
    return caught.value.message


@pytest.mark.parametrize("copy", ["model copy.safetensors", "model (1).safetensors", "model-old.safetensors", "model.fp16.safetensors"])
def test_a_copy_beside_the_weights_is_not_read(whole, copy):
    (whole / copy).write_bytes(tensor("other"))
    found = find_weights(whole)
    assert (found.files, found.ignored) == ((WHOLE,), (copy,))


def test_a_damaged_copy_does_no_harm(whole):
    (whole / "model copy.safetensors").write_bytes(b"half")
    assert find_weights(whole).files == (WHOLE,)


def test_the_index_decides_what_is_read(sharded):
    (sharded / "model-extra.safetensors").write_bytes(tensor("extra"))
    found = find_weights(sharded)
    assert (found.files, found.origin, found.ignored) == (SHARDS, INDEX, ("model-extra.safetensors",))


def test_an_index_may_name_files_as_it_likes(whole):
    (whole / WHOLE).rename(whole / "weights.00.safetensors")
    (whole / INDEX).write_text(json.dumps({"weight_map": {"w": "weights.00.safetensors"}}))
    assert find_weights(whole).files == ("weights.00.safetensors",)


def test_shards_need_no_index(sharded):
    (sharded / INDEX).unlink()
    assert find_weights(sharded).files == SHARDS


@pytest.mark.parametrize(
    "form", ["model-{}-of-3.safetensors", "model.safetensors-0000{}-of-00003.safetensors", "model_0{}-of-03.safetensors"]
)
def test_shards_by_other_names(whole, form):
    (whole / WHOLE).unlink()
    names = [form.format(number) for number in (1, 2, 3)]
    for name in names:
        (whole / name).write_bytes(tensor(name))
    assert find_weights(whole).files == tuple(names)
    (whole / names[1]).unlink()
    assert refusal(whole).startswith(f"{whole / names[1]} is missing")


def test_a_leftover_of_another_split_is_not_read(sharded):
    (sharded / INDEX).unlink()
    (sharded / "model-00001-of-00009.safetensors").write_bytes(tensor("old"))
    assert find_weights(sharded).ignored == ("model-00001-of-00009.safetensors",)


def test_leftover_shards_beside_a_whole_file_are_not_read(whole):
    (whole / SHARDS[0]).write_bytes(tensor("old"))
    assert find_weights(whole).files == (WHOLE,)


@pytest.mark.parametrize("indexed", [True, False])
def test_two_whole_sets_are_refused_by_name(sharded, indexed):
    (sharded / WHOLE).write_bytes(tensor("w"))
    if not indexed:
        (sharded / INDEX).unlink()
    assert "holds two sets of weights" in refusal(sharded)
    assert WHOLE in refusal(sharded)
    assert f"{SHARDS[0]} and 2 more" in refusal(sharded)


def test_an_index_of_a_part_of_its_set_says_what_it_leaves_out(sharded):
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"] = {tensor: name for tensor, name in index["weight_map"].items() if name != SHARDS[1]}
    (sharded / INDEX).write_text(json.dumps(index))
    assert f"{INDEX} names {SHARDS[0]} and 1 more, but not {SHARDS[1]}, of one set of files" in refusal(sharded)


def test_one_file_of_any_name_will_do_and_two_will_not(whole):
    (whole / WHOLE).rename(whole / "model-4bit.safetensors")
    assert find_weights(whole).files == ("model-4bit.safetensors",)
    (whole / "model-8bit.safetensors").write_bytes(tensor("w"))
    assert re.search(r"two sets of weights, model-4bit\S+ and model-8bit", refusal(whole))


def test_a_tensor_in_two_files_is_refused(sharded):
    (sharded / SHARDS[2]).write_bytes(tensor("layer0.w"))
    assert "has the tensor 'layer0.w' twice" in refusal(sharded)


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}, 'is of type "F99", which MLX does not read'),
        ({"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}, 'is of type "F64"'),
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, "F32 of shape [3] does not fill its 8 bytes"),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}, "has the shape [-2]"),
        ({"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}, 'has the shape ["2"]'),
        ({"dtype": 32, "shape": [2], "data_offsets": [0, 8]}, "has no valid dtype"),
        ({"shape": [2], "data_offsets": [0, 8]}, "has no valid dtype"),
        ({"dtype": "F32", "data_offsets": [0, 8]}, "has no valid dtype"),
    ],
)
def test_a_header_that_does_not_describe_its_tensor(whole, entry, what):
    (whole / WHOLE).write_bytes(safetensors(w=entry))
    assert "tensor 'w'" in refusal(whole)
    assert what in refusal(whole)
