"""Real tokenizers, where ``make tokenizers`` has fetched them."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.tiny_model import make_tiny_model

_FETCHED = Path(sys.prefix) / "share" / "tokenizers"


def with_real_tokenizer(name: str, directory: Path) -> Path:
    """A tiny model's directory with that tokenizer; its weights do not fit it. Skips the test where there is none."""
    fetched = tokenizer_file(name).parent
    make_tiny_model(directory)
    for path in fetched.glob("*.json"):
        shutil.copy(path, directory)
    return directory


def tokenizer_file(name: str) -> Path:
    """Its ``tokenizer.json``. Skips the test where there is none."""
    path = _FETCHED / name / "tokenizer.json"
    if not path.is_file():
        pytest.skip(f"the tokenizer {name} is not in {path.parent}: make tokenizers")
    return path
