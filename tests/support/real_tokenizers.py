"""Real tokenizers, where ``make tokenizers`` has fetched them."""

import shutil
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mlxd.worker.facts.directory import DirectoryFacts
from tests.support.tiny_model import make_tiny_model

_FETCHED = Path(sys.prefix) / "share" / "tokenizers"


def with_real_tokenizer(name: str, directory: Path) -> Path:
    """A tiny model's directory with that tokenizer; its weights do not fit it. Skips the test where there is none."""
    fetched = tokenizer_file(name).parent
    make_tiny_model(directory)
    for path in fetched.glob("*.json"):
        shutil.copy(path, directory)
    return directory


@cache
def real_tokenizer(name: str, template: Path | None = None):
    """It as a worker opens it, with another chat template than its own. Of two hundred thousand words that takes a second or two, so it is
    done once in a process. Skips the test where there is none.
    """
    from mlxd.worker.runtime.tokenizing import open_tokenizer  # noqa: PLC0415 - imports MLX, for which there is an order

    with TemporaryDirectory() as directory:
        model = with_real_tokenizer(name, Path(directory))
        if template is not None:
            shutil.copy(template, model / "chat_template.jinja")
        return open_tokenizer(DirectoryFacts.read(model))


def tokenizer_file(name: str) -> Path:
    """Its ``tokenizer.json``. Skips the test where there is none."""
    path = _FETCHED / name / "tokenizer.json"
    if not path.is_file():
        pytest.skip(f"the tokenizer {name} is not in {path.parent}: make tokenizers")
    return path
