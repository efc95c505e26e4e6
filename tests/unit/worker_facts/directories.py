"""Model directories of which the test says what is in the files."""

import json

from mlxd.worker.facts.sources import Sources
from tests.unit.worker_fetch.model_files import write_model


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def described(directory, *, config=None, generation=None, tokenizer=None, special_tokens=None):
    """A whole model directory with these values in its files."""
    write_model(directory)
    write_json(directory / "config.json", {"model_type": "llama"} | (config or {}))
    write_json(directory / "tokenizer_config.json", tokenizer or {})
    for name, value in (("generation_config.json", generation), ("special_tokens_map.json", special_tokens)):
        if value is not None:
            write_json(directory / name, value)
    return directory


def sources(directory, **files):
    """As ``described``, and read."""
    return Sources.read(described(directory, **files))
