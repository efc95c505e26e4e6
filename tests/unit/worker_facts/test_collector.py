"""A model's files are read without the garbage collector, which goes on afterwards, whatever became of them."""

import gc
import json

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.collector import without_collector
from mlxd.worker.facts.json_document import JsonDocument


def test_it_goes_on_behind_a_failure():
    with pytest.raises(KeyError), without_collector():
        raise KeyError
    assert gc.isenabled()


def test_it_goes_on_behind_a_file_that_is_broken(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1,')
    with pytest.raises(ModelSourceError):
        JsonDocument.read(tmp_path / "a.json")
    assert gc.isenabled()


def test_one_within_another_leaves_it_off():
    with without_collector():
        with without_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_nothing_is_collected_while_a_document_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({str(number): [[]] for number in range(5_000)}))
    often = gc.get_threshold()
    gc.set_threshold(700, *often[1:])
    try:
        before = sum(generation["collections"] for generation in gc.get_stats())
        document = JsonDocument.read(tmp_path / "a.json")
        assert sum(generation["collections"] for generation in gc.get_stats()) <= before + 1  # right behind it
    finally:
        gc.set_threshold(*often)
    assert len(document.values) == 5_000
