"""Small, valid files of a model, in pure Python."""

import json
import struct
from pathlib import Path


def safetensors(data: bytes = bytes(8), **entries: object) -> bytes:
    header = json.dumps(entries or {"w": {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def write_model(directory: Path) -> Path:
    """A directory that passes every check; not one that runs."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text('{"model_type": "llama"}')
    (directory / "model.safetensors").write_bytes(safetensors())
    (directory / "tokenizer.json").write_text("{}")
    (directory / "tokenizer_config.json").write_text('{"eos_token": "e"}')
    return directory


def shard(directory: Path, count: int) -> Path:
    """Replace the weights by ``count`` shards and an index."""
    (directory / "model.safetensors").unlink()
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        (directory / name).write_bytes(safetensors(bytes([number]) * 8, **{f"layer{number}.w": tensor}))
    index = {"metadata": {}, "weight_map": {f"layer{number}.w": name for number, name in enumerate(names)}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory
