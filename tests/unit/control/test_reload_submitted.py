"""Comparing a text that somebody sent with what runs: by what is written in both, never by what it stands for."""

import pytest

from mlxd.config.loader import load_config
from mlxd.control.planner import Room
from mlxd.control.reload import Reloader, Result

MODEL = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'
GUARDED = '[server]\napi_keys = ["{}"]\n' + MODEL


class Host:
    """Runs one configuration for ever."""

    def __init__(self, running):
        self.running = running

    def room(self):
        return Room(0, {})


@pytest.fixture
def reloader(tmp_path):
    path = tmp_path / "mlxd.toml"
    path.write_text(GUARDED.format("env:KEY"))
    return Reloader(Host(load_config(path, {"KEY": "sesame"})), told=lambda *_: None, environ={"KEY": "sesame"})


async def test_the_same_reference_is_the_same_secret(reloader):
    assert (await reloader.compare(GUARDED.format("env:KEY"))).result is Result.UNCHANGED


@pytest.mark.parametrize("other", ["env:OTHER", "file:/dev/zero", "sesame"])
async def test_another_reference_is_another_secret(reloader, other):
    outcome = await reloader.compare(GUARDED.format(other))
    assert outcome.result is Result.PLANNED
    [change] = outcome.plan.live
    assert (change.name, change.before, change.after) == ("server.api_keys", ["<redacted>"], ["<redacted>"])


async def test_what_is_wrong_is_told(reloader):
    outcome = await reloader.compare("[server]\nlisen = 1\n" + MODEL)
    assert (outcome.result, len(outcome.problems)) == (Result.INVALID, 1)
