"""What libraries log in a worker reaches the daemon, and never ends what the library was doing."""

import logging
import warnings

import pytest

from mlxd.worker import logs
from mlxd.worker.logs import forward_logs


class Unshowable:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def records():
    sent = []
    undo = forward_logs(sent.append)
    yield sent
    undo()


def deliver(message, *args, error=None):
    """To our handler alone: the test runner's own raise."""
    record = logging.LogRecord("some.library", logging.WARNING, __file__, 1, message, args, error and (type(error), error, None))
    [ours] = [each for each in logging.getLogger().handlers if isinstance(each, logs._Forwarder)]
    ours.handle(record)


def test_a_message_whose_arguments_do_not_fit_it_is_told_as_such(records):
    deliver("%d tokens", "three")
    deliver("%s", Unshowable())
    assert [(record.level, record.fields["message"]) for record in records] == [
        ("warning", "a message that cannot be shown: TypeError"),
        ("warning", "a message that cannot be shown: RuntimeError"),
    ]


def test_an_error_that_cannot_be_shown_is_told_as_such(records):
    class OddError(Exception):
        __repr__ = Unshowable.__str__

    deliver("it failed", error=OddError())
    [record] = records
    assert record.fields["message"] == "it failed"
    assert record.fields["error"] == "a message that cannot be shown: RuntimeError"


def test_a_warning_that_cannot_be_shown_is_told_as_such(records):
    class OddWarning(UserWarning):
        __str__ = Unshowable.__str__

    warnings.showwarning(OddWarning(), OddWarning, "library.py", 3)
    [record] = records
    assert record.fields["message"] == "a message that cannot be shown: RuntimeError"
