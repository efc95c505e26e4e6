"""What ends an answer, and what of its end is shown."""

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.types import Stopping
from tests.support.chat_requests import chat, job


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Stopping()),
        ({"min_tokens": 8, "max_tokens": 8}, Stopping(min_tokens=8)),
        ({"ignore_eos": True}, Stopping(ignore_end=True)),
        ({"stop_token_ids": [5, 999.0]}, Stopping(token_ids=[5, 999])),
        ({"min_tokens": None, "ignore_eos": None, "stop_token_ids": None}, Stopping()),
    ],
)
def test_tokens(fields, expected):
    assert job(chat(**fields)).stopping == expected


def test_what_is_shown():
    plain, shown = job(chat()).output, job(chat(include_stop_str_in_output=True, skip_special_tokens=False)).output
    assert (plain.include_stop, plain.special_tokens) == (False, False)
    assert (shown.include_stop, shown.special_tokens) == (True, True)
    assert not job(chat(skip_special_tokens=True)).output.special_tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"stop_token_ids": [1, 1000]}, "stop_token_ids[1]"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": 5}, "stop_token_ids"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"repeat_penalty": 1.1, "repetition_penalty": 1.2}, "repeat_penalty"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(InvalidRequestError) as caught:
        job(chat(**fields))
    assert caught.value.param == param


@pytest.mark.parametrize("name", ["repeat_penalty", "repetition_penalty"])
def test_two_names_of_the_repetition_penalty(name):
    assert job(chat(**{name: 1.3})).sampling.repetition_penalty == 1.3
