"""Which files of a repository are fetched."""

from huggingface_hub.utils import filter_repo_objects

from mlxd.worker.fetch.hub import PATTERNS

OF_AN_EMBEDDING_MODEL = [
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "vocab.txt",
]
OTHERS = ["pytorch_model.bin", "2_Dense/pytorch_model.bin", "onnx/model.onnx", "modeling.py", "openvino/openvino_model.bin", "README.md"]


def test_files_of_the_modules_behind_a_model_are_fetched_and_other_formats_are_not():
    whole = [*OF_AN_EMBEDDING_MODEL, "model.safetensors", *OTHERS]
    assert {*filter_repo_objects(whole, allow_patterns=PATTERNS)} == {*OF_AN_EMBEDDING_MODEL, "model.safetensors"}
