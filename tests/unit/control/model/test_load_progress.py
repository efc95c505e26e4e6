import pytest
from structlog.testing import capture_logs

from mlxd.control.model import load_progress
from mlxd.control.model.load_progress import LoadProgress
from mlxd.wire.messages import Progress


@pytest.fixture
def clock(monkeypatch):
    """Set ``clock.now``, in seconds."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(load_progress, "time", clock)
    return clock


def test_words():
    progress = LoadProgress("tiny")
    assert progress.describe() == "loading"
    progress.update(Progress(stage="fetching", done=42, total=100))
    assert progress.describe() == "fetching (42 %)"
    progress.update(Progress(stage="warming"))
    assert progress.describe() == "warming"


def test_each_stage_and_each_tenth_is_logged_once():
    progress = LoadProgress("tiny")
    with capture_logs() as logs:
        for done in range(0, 1001, 3):
            progress.update(Progress(stage="fetching", done=done, total=1000))
        progress.update(Progress(stage="fetching", done=1000, total=1000))
        progress.update(Progress(stage="loading"))
        progress.update(Progress(stage="loading"))
    assert [entry["stage"] for entry in logs if entry["event"] == "model_load_stage"] == ["fetching", "loading"]
    assert [entry["percent"] for entry in logs if entry["event"] == "model_load_progress"] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert {entry["model"] for entry in logs} == {"tiny"}


def test_the_time_left_follows_the_pace(clock):
    progress = LoadProgress("tiny")
    assert progress.seconds_left() == 5.0
    progress.update(Progress(stage="fetching", done=0, total=100))
    assert progress.seconds_left() == 5.0  # no pace yet
    clock.now += 10
    progress.update(Progress(stage="fetching", done=25, total=100))
    assert progress.seconds_left() == 30.0


def test_the_time_left_stays_within_reason(clock):
    progress = LoadProgress("tiny")
    progress.update(Progress(stage="fetching", done=0, total=10**12))
    clock.now += 100
    progress.update(Progress(stage="fetching", done=1, total=10**12))
    assert progress.seconds_left() == 300.0
    progress.update(Progress(stage="fetching", done=10**12, total=10**12))
    assert progress.seconds_left() == 1.0


def test_a_resumed_download_is_judged_by_what_it_fetched_itself(clock):
    progress = LoadProgress("tiny")
    progress.update(Progress(stage="fetching", done=800, total=1000))
    clock.now += 10
    progress.update(Progress(stage="fetching", done=810, total=1000))
    assert progress.seconds_left() == 190.0
