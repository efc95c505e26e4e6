"""The poll that finds what no event told, and what is watched at all."""

import asyncio

import pytest
from structlog.testing import capture_logs

from mlxd.config import watcher
from mlxd.config.watcher import way_to
from tests.unit.config.watcher.rig import watching

# ---- the backstop ----


async def deaf(*_, **__):
    """``awatch``, where the file system tells nothing (a network's, some containers')."""
    await asyncio.Event().wait()
    yield


async def test_without_any_event_the_poll_finds_it(path, monkeypatch):
    monkeypatch.setattr(watcher, "awatch", deaf)
    async with watching(path, poll=0.01) as rig:
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
        path.unlink()
        await rig.looks_again()
        path.write_text("third = 3\n")
        await rig.finds("third = 3\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("Error creating recommended watcher")])
async def test_without_a_watch_the_poll_finds_it(path, monkeypatch, error):
    """Watches are limited in number; a daemon that gets none goes on."""

    async def refused(*_, **__):
        raise error
        yield

    monkeypatch.setattr(watcher, "awatch", refused)
    with capture_logs() as logs:
        async with watching(path, poll=0.01) as rig:
            path.write_text("second = 2\n")
            await rig.finds("second = 2\n")
    failures = [entry for entry in logs if entry["event"] == "config_watch_failed"]
    assert failures
    assert all(str(error) in entry["reason"] for entry in failures)


# ---- what is watched ----


def watched(path):
    return {directory for directory, _, _ in way_to(path).directories}


def test_only_what_matters_is_watched(tmp_path, path):
    real = tmp_path.resolve()
    assert watched(path) == {real / "conf"}
    assert watched(tmp_path / "conf" / ".." / "conf" / "mlxd.toml") == {real / "conf"}
    assert watched(tmp_path / "no" / "such" / "mlxd.toml") == {real}
    (tmp_path / "link").symlink_to("conf")
    assert watched(tmp_path / "link" / "mlxd.toml") == {real, real / "conf"}
    assert {"link", "conf", "mlxd.toml"} <= way_to(tmp_path / "link" / "mlxd.toml").names
