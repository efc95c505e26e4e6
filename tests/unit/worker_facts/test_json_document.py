import json
import os

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import JsonDocument


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


def refusal(path):
    with pytest.raises(ModelSourceError) as caught:
        JsonDocument.read(path)
    return caught.value.message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b"\xef\xbb\xbf{}", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not valid JSON"),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', '"c" is there twice, as 1 and as 2'),
    ],
)
def test_what_is_no_object_is_named(path, content, what):
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path} is not ")
    assert what in refusal(path)


def test_a_key_may_repeat_what_it_said(path):
    path.write_text('{"a": [1], "a": [1]}')
    assert JsonDocument.read(path).get("a") == [1]


def test_what_would_block_its_reader_is_not_opened(path):
    os.mkfifo(path)
    assert refusal(path).startswith(f"{path} is no regular file")


def test_a_link_that_leads_back_to_itself(path):
    path.symlink_to(path.name)
    assert "is a link to config.json, which does not exist" in refusal(path)


def test_an_absent_file_may_be_empty(path):
    assert JsonDocument.read_if_there(path).values == {}
    assert refusal(path).startswith(f"{path} is missing")


def test_values_are_read_with_types_and_named_by_their_whole_key(path):
    path.write_text(json.dumps({"part": {"count": 3, "ids": [1, 2], "text": "x", "nothing": None, "wrong": 1.5}}))
    part = JsonDocument.read(path).part("part")
    assert (part.count("count"), list(part.whole_numbers("ids")), part.text("text")) == (3, [1, 2], "x")
    assert (part.count("nothing"), list(part.whole_numbers("absent")), part.text("nothing"), part.part("absent")) == (None, [], None, None)
    for read in (part.count, part.text, part.part, lambda key: list(part.whole_numbers(key))):
        with pytest.raises(ModelSourceError, match=r'config\.json: "part\.wrong" is 1\.5; expected '):
            read("wrong")


def test_a_long_value_is_cut(path):
    path.write_text(json.dumps({"a": "x" * 10_000}))
    with pytest.raises(ModelSourceError) as caught:
        JsonDocument.read(path).count("a")
    assert len(caught.value.message) < 300
