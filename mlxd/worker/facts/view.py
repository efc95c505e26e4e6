"""A directory for the library that loads a model: of its files, only those that count."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlxd.worker.facts.directory import DirectoryFacts

# The weights and what the templates say are chosen here; code that comes with a model is not run; end tokens are united here.
_LEFT_OUT = (".safetensors", ".py", ".jinja")
_LEFT_OUT_NAMES = {"generation_config.json", "chat_template.json", "model.safetensors.index.json"}


@contextmanager
def view_of(facts: DirectoryFacts) -> Iterator[Path]:
    """A directory of links to the configuration, the tokenizer's files and the chosen weights. It is gone afterwards: what is open
    stays open.
    """
    with tempfile.TemporaryDirectory(prefix="mlxd-model-") as name:
        view = Path(name)
        for path in facts.directory.iterdir():
            if path.is_file() and path.suffix not in _LEFT_OUT and path.name not in _LEFT_OUT_NAMES:
                (view / path.name).symlink_to(path.absolute())
        for number, file in enumerate(facts.weights.files):
            (view / f"model-{number:05}.safetensors").symlink_to((facts.directory / file).absolute())
        yield view
