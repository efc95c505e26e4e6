"""What is shown while a command waits: what a model is about, in lines and in bars."""

import io
import threading

import msgspec
import pytest
from rich.console import Console

from mlxd.admin.models import describe_all
from mlxd.errors import DaemonUnreachableError
from mlxd.terminal.load_progress import Activity, activity, shown_progress
from mlxd.types import ModelState
from mlxd.wire.messages import Progress
from tests.support.statuses import FakeDaemon, model_status, running_status

FETCHING = Progress(stage="fetching", done=1, total=4)


def documents(*statuses):
    return msgspec.to_builtins(describe_all(FakeDaemon(*statuses).sources))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (running_status(), None),
        (model_status(state=ModelState.STOPPED), None),
        (model_status(state=ModelState.FAILED, last_error="x"), None),
        (model_status(state=ModelState.LOADING), Activity("tiny", "loading")),
        (model_status(state=ModelState.LOADING, progress=Progress(stage="warming")), Activity("tiny", "warming")),
        (model_status(state=ModelState.LOADING, progress=FETCHING), Activity("tiny", "fetching", fraction=0.25)),
        (running_status(is_replacing=True), Activity("tiny", "loading a new worker beside the old one")),
        (running_status(is_replacing=True, progress=FETCHING), Activity("tiny", "fetching a new worker beside the old one", fraction=0.25)),
        (running_status(state=ModelState.DRAINING), Activity("tiny", "draining", "3 requests")),
        (running_status(leaving=(7,), waiting=0), Activity("tiny", "draining", "1 request")),
        (model_status(state=ModelState.LOADING, restart_in=2.6), Activity("tiny", "failed, will be tried again", "in 3s")),
    ],
)
def test_what_a_model_is_about(status, expected):
    assert activity(documents(status)[0]) == expected


class Client:
    """Answers one list of models after another, and the last one for ever; ``asked_all`` when it has come to that."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked_all = threading.Event()

    def get(self, _path, *, timeout):
        if len(self._answers) > 1:
            return {"models": self._answers.pop(0)}
        self.asked_all.set()
        if isinstance(self._answers[0], Exception):
            raise self._answers[0]
        return {"models": self._answers[0]}


def shown(client, *, only=None, terminal=False):
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    with shown_progress(client, console, only=only, poll=0.001):
        assert client.asked_all.wait(10)
    return console.file.getvalue()


LOADING = model_status("a", ModelState.LOADING, aliases=("first",))
OTHER = model_status("b", ModelState.LOADING, progress=FETCHING)


def test_a_line_for_each_stage():
    halfway = model_status("b", ModelState.LOADING, progress=Progress(stage="fetching", done=2, total=4))
    client = Client(documents(LOADING, OTHER), documents(LOADING, halfway), documents(running_status("a"), halfway), [])
    assert shown(client) == "a: loading\nb: fetching\n"


def test_a_stage_that_comes_again_is_told_again():
    client = Client(documents(LOADING), documents(running_status("a")), documents(LOADING), [])
    assert shown(client) == "a: loading\na: loading\n"


@pytest.mark.parametrize("only", ["a", "first"])
def test_only_the_one_that_is_waited_for(only):
    assert shown(Client(documents(LOADING, OTHER), []), only=only) == "a: loading\n"


def test_bars_on_a_terminal_are_gone_at_the_end():
    drawn = shown(Client(documents(LOADING, OTHER), documents(OTHER), documents(OTHER)), terminal=True)
    assert "b: fetching" in drawn
    assert "25%" in drawn
    assert " 0%" not in drawn  # of what cannot tell
    assert drawn.endswith("\x1b[2K\x1b[?25h")  # the line is cleared, the cursor is back


@pytest.mark.parametrize("answer", [DaemonUnreachableError("gone"), [{"id": "a"}]])
def test_what_cannot_be_shown_is_not_shown(answer):
    assert shown(Client(documents(LOADING), answer)) == "a: loading\n"
