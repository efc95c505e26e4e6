"""The input of a custom tool, read while the model writes its JSON: the same however that is cut."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlxd.api.responses.custom_input import CustomInput


def read(pieces):
    reader = CustomInput()
    return "".join([*map(reader.push, pieces), reader.finish()])


def cut(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 9), st.booleans(), st.sampled_from(["", " ", "\n  "]))
@example('*** Begin Patch\n"\\\t😀\u2028</tool_call>', 1, True, " ")
@settings(deadline=None)
def test_an_input_is_what_it_was(text, size, is_ascii, space):
    written = json.dumps(text, ensure_ascii=is_ascii)
    assert read(cut(f'{space}{{{space}"input"{space}:{space}{written}{space}}}', size)) == text


@given(st.text(), st.integers(1, 9))
@settings(deadline=None)
def test_the_pieces_do_not_matter_whatever_is_written(text, size):
    for written in (text, f'{{"input": "{text}'):
        assert read(cut(written, size)) == read([written])


def test_it_streams_as_it_is_written():
    reader = CustomInput()
    assert [reader.push(piece) for piece in ('{"inp', 'ut": "a', "\\", "n", "b\\u00", "e9", '"}', "x")] == [
        *("", "a", "", "\n", "b", "é", "", ""),
    ]
    assert reader.finish() == ""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("{}", ""),
        ('{"patch": "a"}', "a"),
        ('{"reason": "why", "input": "a"}', "a"),
        ('{"a": "b", "c": "d"}', '{"a": "b", "c": "d"}'),
        ('{"input": ["a"]}', '{"input": ["a"]}'),
        ('"a"', "a"),
        ("ls -l", "ls -l"),
        ('{"input": "a', "a"),
        ('{"input": "a\\', "a"),
        ('{"input": "a\\u00', "a"),
        ('{"input": "C:\\dir\\q"}', "C:\\dir\\q"),
        ('{"input": "\\ud83d"}', "\ufffd"),
        ('{"input": "\\ud83dx"}', "\ufffdx"),
        ('{"input": "a\nb"}', "a\nb"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_what_is_written_badly_is_read_as_well_as_can_be(written, meant):
    assert read([written]) == read(list(written)) == meant
