"""What keys do, and which bytes they are."""

import pytest

from mlxd.terminal.top.keys import decode
from mlxd.terminal.top.view import Key, Sort, View

MODELS = ("a", "b", "c")


def after(*keys, models=MODELS, view=None):
    view = view or View()
    for key in keys:
        view = view.after(key, models)
    return view


def test_the_first_model_is_chosen_at_first():
    assert View().choice(MODELS) == "a"
    assert View().choice(()) is None


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [([Key.DOWN], "b"), ([Key.UP], "a"), ([Key.DOWN] * 5, "c"), ([Key.DOWN, Key.DOWN, Key.UP], "b")],
)
def test_a_choice_stays_inside_the_list(keys, chosen):
    assert after(*keys).choice(MODELS) == chosen


def test_a_choice_follows_its_model_in_another_order_and_is_the_first_once_it_is_gone():
    view = after(Key.DOWN)
    assert view.choice(("c", "b", "a")) == "b"
    assert view.choice(("c", "a")) == "c"
    assert after(Key.DOWN, models=("c", "a"), view=view).chosen == "a"


def test_with_no_models_there_is_no_choice():
    assert after(Key.DOWN, Key.UP, models=()).chosen is None


def test_orders_go_round():
    assert [after(*[Key.SORT] * presses).sort for presses in range(6)] == [*Sort, Sort.FILE]


def test_switches():
    assert after(Key.ENTER).is_close
    assert not after(Key.ENTER, Key.ENTER).is_close
    assert not after(Key.ENTER, Key.BACK).is_close
    assert after(Key.PAUSE).is_paused
    assert not after(Key.PAUSE, Key.PAUSE).is_paused


def test_any_key_closes_help_and_does_nothing_else():
    assert after(Key.HELP, Key.DOWN) == after(Key.HELP, Key.OTHER) == View()
    assert after(Key.OTHER) == View()


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"q", [Key.QUIT]),
        (b"jk", [Key.DOWN, Key.UP]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", [Key.UP, Key.DOWN, Key.UP, Key.DOWN]),
        (b"\x1b", [Key.BACK]),
        (b"\r\n", [Key.ENTER, Key.ENTER]),
        (b"\x1b[15~\x1b[1;5Az", [Key.OTHER] * 3),
        (b"s p?h", [Key.SORT, Key.PAUSE, Key.PAUSE, Key.HELP, Key.HELP]),
        ("é".encode(), [Key.OTHER]),
        (b"", []),
    ],
)
def test_keys(typed, keys):
    assert decode(typed) == keys
