"""Patterns of schemas: what is written matches in every language, here in Rust's, JavaScript's and Python's own way."""

import json
import re

import jsonschema_rs
import pytest

from mlxd.errors import InvalidRequestError
from tests.unit.worker_text.constraints.test_numbers import is_written, writable

# Of which some languages say that they are white space, digits, letters or ends of lines, and others do not.
CHARACTERS = (
    *map(chr, range(128)),
    *"\x85\xa0\xaa\xb2\xb5\xe9\xdf\u017f\u212a\u0660\u0966\u1680\u180e\u2003\u200b\u200c\u200d\u2028\u2029\u3000\ufeff\uff11\uff21\uffff",
    *"\U0001d7ce\U0001f600",
)
PATTERNS = {
    r"^.$": "é",
    r"^\s$": " ",
    r"^\S$": "é",
    r"^\w$": "_",
    r"^\W$": "-",
    r"^\d$": "7",
    r"^\D$": "a",
    r"^[\s]$": "\t",
    r"^[^\s]$": "é",
    r"^[\S]$": "a",
    r"^[^\S]$": " ",
    r"^[^\w]$": "-",
    r"^[^\W]$": "a",
    r"^[\d\s-]$": "-",
    r"^[a&&b]$": "&",
    r"^[[a]$": "[",
    r"^[a~~b^-]$": "^",
    r"^[^.]$": "x",
    r"^\.\/\-$": "./-",
    r"^[\]a]$": "]",
    r"^\u0041\x42$": "AB",
    r"^(?:[+-]?\d+(?:\.\d+)?)$": "-1.5",
}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # Python means to change what some of them are
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_written_matches_in_every_language(pattern):
    schema = {"type": "string", "pattern": pattern}
    texts = [PATTERNS[pattern], *CHARACTERS, *("a" + one for one in CHARACTERS), *(one + "\n" for one in CHARACTERS)]
    valid, told = _valid(schema), writable(schema)
    written = {text for text in texts if told(json.dumps(text)) or told(json.dumps(text, ensure_ascii=False))}
    assert PATTERNS[pattern] in written
    assert not [text for text in written if not valid(text) or not re.search(pattern, text)]


def test_a_hyphen_behind_a_class_is_itself():
    """As JavaScript has it, and many patterns for addresses."""
    schema = {"type": "string", "pattern": r"^[\w-\.]+@([\w-]+\.)+[\w-]{2,4}$"}
    assert is_written(schema, '"a.b-c@d-e.org"')
    assert not is_written(schema, '"a/b@d-e.org"')


def _valid(schema):
    try:
        return jsonschema_rs.validator_for(schema).is_valid
    except jsonschema_rs.ValidationError:  # which holds some of them for none
        return lambda _: True


def test_names_are_matched_alike():
    schema = {"type": "object", "patternProperties": {r"^\S$": {"type": "null"}}, "additionalProperties": False}
    assert is_written(schema, '{"a":null}')
    assert not is_written(schema, '{"\ufeff":null}')


def test_classes_of_other_languages_are_refused():
    with pytest.raises(InvalidRequestError, match="A-Za-z") as refused:
        is_written({"type": "array", "items": {"type": "string", "pattern": "^[[:alpha:]]+$"}}, "[]")
    assert refused.value.param == "schema/items/pattern"
