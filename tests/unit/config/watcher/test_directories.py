"""Files and directories that go and come."""

import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.config.watcher.rig import FIRST, watching


async def test_deleted_and_back(rig, path):
    with capture_logs() as logs:
        path.unlink()
        await rig.looks_again()
        assert rig.found == []
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
    assert [entry["event"] for entry in logs] == ["config_file_unreadable"]  # once, not at each look


async def test_the_directory_is_replaced_by_another(rig, tmp_path):
    for number in (2, 3):
        new = tmp_path / "new"
        new.mkdir()
        (new / "mlxd.toml").write_text(f"directory = {number}\n")
        (tmp_path / "conf").rename(tmp_path / f"old-{number}")
        new.rename(tmp_path / "conf")
        await rig.finds(f"directory = {number}\n")
    (tmp_path / "conf" / "mlxd.toml").write_text("written = 4\n")  # it is the new directory that is watched
    await rig.finds("written = 4\n")


async def test_the_directory_is_replaced_by_one_with_the_same_file(rig, tmp_path):
    shutil.copytree(tmp_path / "conf", tmp_path / "new")
    (tmp_path / "conf").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "conf")
    await rig.looks_again()
    (tmp_path / "conf" / "mlxd.toml").write_text("second = 2\n")
    await rig.finds("second = 2\n")


async def test_the_directory_is_gone_for_a_while(rig, tmp_path, path):
    shutil.rmtree(tmp_path / "conf")
    await rig.looks_again()
    assert rig.found == []
    path.parent.mkdir()
    await rig.looks_again()
    path.write_text("second = 2\n")
    await rig.finds("second = 2\n")


async def test_the_directory_s_directory_is_gone_for_a_while(tmp_path):
    path = tmp_path / "a" / "b" / "c" / "mlxd.toml"
    path.parent.mkdir(parents=True)
    path.write_text(FIRST)
    async with watching(path) as rig:
        shutil.rmtree(tmp_path / "a")
        await rig.looks_again()
        path.parent.mkdir(parents=True)
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")


@pytest.mark.parametrize("instead", ["directory", "pipe"])
async def test_something_that_is_no_file_stands_there_for_a_while(rig, path, instead):
    path.unlink()
    if instead == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)  # whoever reads it without a look waits for ever
    await rig.looks_again()
    assert rig.found == []
    if instead == "directory":
        path.rmdir()
    else:
        path.unlink()
    path.write_text("second = 2\n")
    await rig.finds("second = 2\n")


async def test_a_file_that_may_not_be_read_is_no_change_until_it_may(rig, path, monkeypatch):
    may_read = Path.open

    def refuse(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return may_read(self, *args, **kwargs)

    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)  # tests may run as root, whom no mode stops
        path.touch()
        await rig.looks_again()
    assert rig.found == []
    assert [(entry["event"], "may not be read" in entry["reason"]) for entry in logs] == [("config_file_unreadable", True)]
    os.utime(path)
    await rig.finds(FIRST)  # what happened to it meanwhile nobody knows: it is read
