"""What lies in ``tests/data/vision`` is what was generated, whole and small."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.support.vision_references import DATA, architectures, checkpoint, references
from tests.vision.manifest import NAME, hashes

LARGEST = 6_000_000  # bytes, of which half pack to nothing
FILES = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json"}
EVERYWHERE = {"words", "picture", "other_picture", "two_pictures", "swapped", "sizes", "late_picture", "late_other_picture", "turns"}


def test_every_file_is_as_it_was_generated():
    assert hashes(DATA) == json.loads((DATA / NAME).read_text())


def test_it_stays_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*")) < LARGEST


@pytest.mark.parametrize("architecture", architectures())
def test_every_model_has_its_files_and_cases(architecture):
    assert {path.name for path in checkpoint(architecture).iterdir()} >= FILES
    assert set(references(architecture)) >= EVERYWHERE


@pytest.mark.parametrize("architecture", architectures())
def test_what_is_kept_of_a_case_belongs_together(architecture):
    for one in references(architecture).values():
        likeliest, last, columns = (one.arrays[name] for name in ("likeliest", "last", "columns"))
        assert len(likeliest) == len(columns) == len(one.every_token())
        assert likeliest[len(one.tokens) - 1 :].tolist() == one.greedy
        assert last.argmax(axis=-1).tolist() == [*one.greedy[:2], one.greedy[-1]]
        assert all(np.isfinite(array).all() for array in one.arrays.values())


@pytest.mark.parametrize("architecture", architectures())
def test_words_alone_are_what_the_tokenizer_says(architecture):
    words = references(architecture)["words"]
    tokenizer = Tokenizer.from_file(str(checkpoint(architecture) / "tokenizer.json"))
    first = words.tokens[:1] if tokenizer.encode("").ids == words.tokens[:1] else []
    written = tokenizer.encode(words.prompt, add_special_tokens=False).ids
    assert words.tokens in (written, first + written)


@pytest.mark.parametrize("architecture", architectures())
def test_another_picture_is_another_answer(architecture):
    for one, other in (("picture", "other_picture"), ("late_picture", "late_other_picture"), ("two_pictures", "swapped")):
        apart = references(architecture)[one].arrays["last"][0] - references(architecture)[other].arrays["last"][0]
        assert np.abs(apart).max() > 0.1
