"""Texts that a tokenizer does not cut into words are not remembered: tens of thousands of prompts take no memory."""

import os
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mlxd.footprint import footprint
from mlxd.worker.text.word_cache import bound_word_cache

LETTERS = {letter: number for number, letter in enumerate("▁abcdefghijklmnopqrstuvwxyz0123456789")}
WHOLE = {"normalizer": normalizers.Replace(" ", "▁")}
SPLITTERS = [
    ({}, 0),
    (WHOLE, 0),
    ({"pre_tokenizer": pre_tokenizers.ByteLevel(use_regex=False)}, 0),
    ({"pre_tokenizer": pre_tokenizers.ByteLevel()}, 10_000),
    ({"pre_tokenizer": pre_tokenizers.Metaspace()}, 10_000),
    (WHOLE | {"pre_tokenizer": pre_tokenizers.Split(" ", "merged_with_previous")}, 0),  # there is no blank left to cut at
]


class Model:
    """A model that notes what its cache is resized to."""

    capacity = 10_000

    def _resize_cache(self, capacity):
        self.capacity = capacity


@pytest.mark.parametrize(("parts", "capacity"), SPLITTERS)
def test_only_words_are_remembered(parts, capacity):
    inner = SimpleNamespace(model=Model(), **({"normalizer": None, "pre_tokenizer": None} | parts))
    bound_word_cache(SimpleNamespace(backend_tokenizer=inner))
    assert inner.model.capacity == capacity


@pytest.mark.parametrize("tokenizer", [object(), SimpleNamespace(backend_tokenizer=None)])
def test_a_tokenizer_of_another_kind_is_left_alone(tokenizer):
    bound_word_cache(tokenizer)


def test_whole_prompts_take_no_memory():
    inner = Tokenizer(models.BPE(vocab=LETTERS, merges=[]))
    inner.normalizer = WHOLE["normalizer"]
    bound_word_cache(SimpleNamespace(backend_tokenizer=inner))
    prompts = [f"{number} " + "word " * 30 for number in range(6000)]
    for prompt in prompts[:500]:
        inner.encode(prompt)
    before = footprint(os.getpid())
    for prompt in prompts[500:]:
        inner.encode(prompt)
    assert footprint(os.getpid()) - before < 4 * 2**20
