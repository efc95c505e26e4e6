"""A draft model of another vocabulary is refused, and the refusal names both models and the first token that differs."""

import pytest

from mlxd.errors import DraftModelError, from_code
from mlxd.worker.runtime.draft.vocabulary import NamedVocabulary, check_same_vocabulary, check_width

IDS = {"a": 0, "b": 1, "<end>": 2}
TARGET = NamedVocabulary("org/large", IDS)


def draft(ids):
    return NamedVocabulary("org/small", ids)


def test_the_same_tokens_by_the_same_ids_go_together():
    check_same_vocabulary(TARGET, draft(dict(reversed(IDS.items()))))


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ({"a": 0, "c": 1, "<end>": 2}, 'token 1 is "c" there and "b" here'),
        ({"a": 0, "b": 1, "<stop>": 2}, 'token 2 is "<stop>" there and "<end>" here'),
        ({"a": 0, "<end>": 1, "b": 2}, 'token 1 is "<end>" there and "b" here'),
        ({"a": 0, "b": 1}, '2 tokens to 3; token 2 is missing there and "<end>" here'),
        ({**IDS, "new": 3}, '4 tokens to 3; token 3 is "new" there and missing here'),
        ({}, '0 tokens to 3; token 0 is missing there and "a" here'),
        ({**IDS, "y" * 1000: 3}, "y…"),
    ],
)
def test_another_vocabulary_is_refused(ids, said):
    with pytest.raises(DraftModelError) as refused:
        check_same_vocabulary(TARGET, draft(ids))
    assert said in refused.value.message
    assert "the draft model org/small cannot draft for org/large" in refused.value.message


def test_rows_beyond_the_tokens_may_differ_but_none_may_lack():
    for target_width, draft_width in ((3, 64), (64, 3), (128, 64), (2, 2)):
        check_width(TARGET, draft(IDS), target_width=target_width, draft_width=draft_width)
    with pytest.raises(DraftModelError, match="org/small cannot draft for org/large: it knows 2 tokens, less than the 3 of"):
        check_width(TARGET, draft(IDS), target_width=64, draft_width=2)


def test_the_refusal_crosses_the_wire():
    assert type(from_code("draft_model", "no")) is DraftModelError
