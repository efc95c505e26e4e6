"""Directories for the libraries that load a model: of its files, only those that count.

They are gone afterwards; what a library has opened stays open.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlxd.scratch import scratch_directory
from mlxd.worker.facts.directory import DirectoryFacts

_OF_THE_MODEL = ("config.json", "hf_quant_config.json")

# Weights and templates are chosen here, end tokens are united here, and code that comes with a model is not run.
_NOT_OF_THE_TOKENIZER = (".safetensors", ".py", ".jinja")
_NOT_OF_THE_TOKENIZER_EITHER = {*_OF_THE_MODEL, "generation_config.json", "chat_template.json", "model.safetensors.index.json"}

# Of config.json, what decides about the tokenizer: its library would refuse a model for values that are none of its business.
_OF_THE_CONFIGURATION = ("model_type", "architectures", "tokenizer_class", "transformers_version")


@contextmanager
def model_view(facts: DirectoryFacts) -> Iterator[Path]:
    """Makes a directory of links to the configuration and the chosen weights."""
    with scratch_directory("model") as view:
        for file in _OF_THE_MODEL:
            if (facts.directory / file).is_file():
                (view / file).symlink_to((facts.directory / file).absolute())
        for number, file in enumerate(facts.weights.files):
            (view / f"model-{number:05}.safetensors").symlink_to((facts.directory / file).absolute())
        yield view


@contextmanager
def tokenizer_view(facts: DirectoryFacts) -> Iterator[Path]:
    """Makes a directory of links to the tokenizer's files, and as much of the configuration as concerns it."""
    with scratch_directory("tokenizer") as view:
        for path in facts.directory.iterdir():
            if path.is_file() and path.suffix not in _NOT_OF_THE_TOKENIZER and path.name not in _NOT_OF_THE_TOKENIZER_EITHER:
                (view / path.name).symlink_to(path.absolute())
        kept = {key: facts.config.get(key) for key in _OF_THE_CONFIGURATION if facts.config.get(key) is not None}
        (view / "config.json").write_text(json.dumps(kept), encoding="utf-8")
        yield view
