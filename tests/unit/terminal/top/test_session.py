"""What is on the screen after answers, keys and time."""

import pytest

from mlxd.terminal.top.poller import Failure
from mlxd.terminal.top.session import Session
from tests.support.statuses import running_status
from tests.unit.terminal.top.looks import PAGED, look

MODELS = (PAGED, running_status("other"))


@pytest.fixture
def session():
    return Session(look(100, 0, *MODELS), 1.0)


def test_a_held_picture_stays_and_what_happened_meanwhile_is_kept(session):
    session.type(b"p")
    for second in range(1, 4):
        session.take(iter([look(100 + second, second * 10, *MODELS)]))
    assert session.frame.look.at == 100
    session.type(b"p")
    assert session.frame.look.at == 103
    assert len(session.frame.history.intervals["smollm2"]) == 3


def test_a_choice_decides_whose_requests_are_wanted(session):
    assert session.chosen == "smollm2"
    session.type(b"j")
    assert session.chosen == "other"
    session.take(iter([look(101, 0, PAGED)]))
    assert session.chosen == "smollm2"


def test_an_answer_that_is_late_is_said_and_one_that_comes_ends_that(session):
    session.tick(102)
    assert session.frame.silent is None
    session.tick(104)
    assert session.frame.silent == 4
    session.take(iter([look(104, 0, *MODELS)]))
    session.tick(104)
    assert session.frame.silent is None


def test_a_failure_is_said_at_once_and_with_its_reason(session):
    session.take(iter([Failure("no daemon listens")]))
    session.tick(100.5)
    assert (session.frame.silent, session.frame.failure) == (0.5, "no daemon listens")
    session.take(iter([look(101, 0, *MODELS)]))
    session.tick(101)
    assert (session.frame.silent, session.frame.failure) == (None, "")


def test_a_defect_of_the_poller_is_raised(session):
    with pytest.raises(KeyError):
        session.take(iter([Failure("", KeyError("models"))]))


@pytest.mark.parametrize(("typed", "is_over"), [(b"q", True), (b"", True), (b"x", False), (b"jq", True)])
def test_how_it_ends(session, typed, is_over):
    session.type(typed)
    assert session.is_over == is_over
