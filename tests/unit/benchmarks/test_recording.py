"""What recording costs is measured with a request's record as it is used today."""

import pytest

from benchmarks.observability import recording


@pytest.mark.parametrize("traces", [False, True])
def test_each_part_of_a_step_is_measured(monkeypatch, traces):
    monkeypatch.setattr(recording, "_TIMES", 3)
    assert min(recording.recording(64, traces=traces)) > 0
