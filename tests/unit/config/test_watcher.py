"""Real files in real directories, watched as they are in a daemon: by events alone, for the poll is set so that no test lives to see it."""

import asyncio
import contextlib
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mlxd.config import watcher
from mlxd.config.watcher import ConfigWatcher, way_to

PATIENCE = 30.0  # seconds; only a failing test waits so long
NEVER = 3600.0
FIRST = "first = 1\n"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Rig:
    """A watcher at work on ``path``. ``found`` has what the file held whenever a change was told."""

    def __init__(self, path, *, poll=NEVER, last_read=None):
        self.path = path
        self.found = []
        self.looks = 0
        self._news = asyncio.Event()
        self.watcher = ConfigWatcher(path, self._on_change, seen=digest(path.read_text()), last_read=last_read, poll=poll)
        look = self.watcher._look

        async def counted_look():
            changed = await look()
            self.looks += 1
            self._news.set()
            return changed

        self.watcher._look = counted_look

    def _on_change(self):
        self.found.append(self.path.read_text())

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def finds(self, text):
        """Wait until the last change that was told is to ``text``, and the watch has begun anew."""
        await self.until(lambda: self.found and self.found[-1] == text)
        await self.looks_again()

    async def looks_again(self):
        """Wait until what happened by now has been looked at."""
        before = self.looks
        await self.until(lambda: self.looks > before)


@contextlib.asynccontextmanager
async def watching(path, **options):
    rig = Rig(path, **options)
    running = asyncio.create_task(rig.watcher.run())
    try:
        await rig.until(lambda: rig.looks)
        yield rig
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "conf" / "mlxd.toml"
    made.parent.mkdir()
    made.write_text(FIRST)
    return made


@pytest.fixture
async def rig(path):
    async with watching(path) as started:
        yield started


# ---- the ways of editors ----


async def test_written_in_place(rig, path):
    path.write_text("second = 2\n")
    await rig.finds("second = 2\n")
    with path.open("a") as file:
        file.write("third = 3\n")
    await rig.finds("second = 2\nthird = 3\n")


async def test_truncated_and_written_in_pieces(rig, path):
    with path.open("w") as file:
        file.write("second")
        file.flush()
        await rig.looks_again()
        file.write(" = 2\n")
    await rig.finds("second = 2\n")


async def test_replaced_by_a_rename_again_and_again(rig, path):
    for text in ("second = 2\n", "third = 3\n", "fourth = 4\n"):
        new = path.with_suffix(".tmp")
        new.write_text(text)
        new.rename(path)
        await rig.finds(text)
    assert rig.found == ["second = 2\n", "third = 3\n", "fourth = 4\n"]


async def test_the_old_one_becomes_a_backup_and_a_new_one_is_written(rig, path):
    backup = path.with_name("mlxd.toml~")
    for text in ("second = 2\n", "third = 3\n"):
        path.rename(backup)
        path.write_text(text)
        await rig.finds(text)
        backup.unlink()


async def test_a_file_with_another_s_name_is_nothing(rig, path):
    path.with_name("mlxd.toml.swp").write_text("x")
    path.with_name("daemon.log").write_text("line\n" * 100)
    path.write_text("second = 2\n")
    await rig.finds("second = 2\n")
    assert rig.found == ["second = 2\n"]


async def test_a_touch_is_no_change(rig, path):
    os.utime(path)
    await rig.looks_again()
    path.write_text(FIRST)
    await rig.looks_again()
    assert rig.found == []
    path.write_text("second = 2\n")
    await rig.finds("second = 2\n")
    assert rig.found == ["second = 2\n"]


async def test_twenty_quick_saves_are_few_changes_and_the_last_is_seen(rig, path):
    for number in range(20):
        path.write_text(f"save = {number}\n")
    await rig.finds("save = 19\n")
    assert len(rig.found) <= 3


async def test_what_changed_before_it_began_is_found(path):
    made = Rig(path)
    path.write_text("second = 2\n")
    running = asyncio.create_task(made.watcher.run())
    await made.finds("second = 2\n")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_no_moment_is_unwatched(rig, path):
    """Each save comes as early as can be after the one before was told: while the watch begins anew."""
    for number in range(10):
        path.write_text(f"save = {number}\n")
        await rig.until(lambda number=number: rig.found[-1:] == [f"save = {number}\n"])


# ---- links ----


async def test_a_link_whose_target_is_written(tmp_path, path):
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    async with watching(link) as rig:
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
        new = path.with_suffix(".tmp")
        new.write_text("third = 3\n")
        new.rename(path)
        await rig.finds("third = 3\n")


async def test_a_link_that_is_set_to_another_file(tmp_path, path):
    link, other = tmp_path / "link.toml", tmp_path / "elsewhere" / "other.toml"
    link.symlink_to(path)
    other.parent.mkdir()
    other.write_text("other = 1\n")
    async with watching(link) as rig:
        new = tmp_path / "link.new"
        new.symlink_to(other)
        new.rename(link)
        await rig.finds("other = 1\n")
        other.write_text("other = 2\n")  # its directory is watched now
        await rig.finds("other = 2\n")
        path.write_text("nobody = 'cares'\n")
        other.write_text("other = 3\n")
        await rig.finds("other = 3\n")
        assert rig.found == ["other = 1\n", "other = 2\n", "other = 3\n"]


async def test_a_chain_of_relative_links(tmp_path, path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mlxd.toml").symlink_to("../b/mlxd.toml")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mlxd.toml").symlink_to("../conf/mlxd.toml")
    async with watching(tmp_path / "a" / "mlxd.toml") as rig:
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
        (tmp_path / "conf" / "other.toml").write_text("other = 1\n")
        (tmp_path / "b" / "new").symlink_to("../conf/other.toml")
        (tmp_path / "b" / "new").rename(tmp_path / "b" / "mlxd.toml")
        await rig.finds("other = 1\n")


async def test_a_config_map(tmp_path):
    """As a kubelet writes it: ``mlxd.toml -> ..data/mlxd.toml`` and ``..data -> ..DATE``, of which the latter is swapped."""

    def publish(date, text):
        (tmp_path / date).mkdir()
        (tmp_path / date / "mlxd.toml").write_text(text)
        new = tmp_path / "..data_tmp"
        new.symlink_to(date)
        new.rename(tmp_path / "..data")

    publish("..2026_01", FIRST)
    link = tmp_path / "mlxd.toml"
    link.symlink_to("..data/mlxd.toml")
    async with watching(link) as rig:
        for date in ("..2026_02", "..2026_03"):
            publish(date, f"date = '{date}'\n")
            await rig.finds(f"date = '{date}'\n")
        shutil.rmtree(tmp_path / "..2026_01")  # a kubelet cleans up after
        publish("..2026_04", "last = 1\n")
        await rig.finds("last = 1\n")
        assert len(rig.found) == 3


async def test_a_link_to_the_directory_is_swapped(tmp_path):
    """As releases are deployed: ``current -> releases/1``."""
    for number in (1, 2):
        (tmp_path / "releases" / str(number)).mkdir(parents=True)
        (tmp_path / "releases" / str(number) / "mlxd.toml").write_text(f"release = {number}\n")
    (tmp_path / "current").symlink_to("releases/1")
    async with watching(tmp_path / "current" / "mlxd.toml") as rig:
        (tmp_path / "new").symlink_to("releases/2")
        (tmp_path / "new").rename(tmp_path / "current")
        await rig.finds("release = 2\n")
        (tmp_path / "releases" / "2" / "mlxd.toml").write_text("release = 2.1\n")
        await rig.finds("release = 2.1\n")


async def test_links_in_a_circle_are_no_endless_loop(tmp_path, path):
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    async with watching(link) as rig:
        link.unlink()
        link.symlink_to("link.toml")
        await rig.looks_again()
        link.unlink()
        link.symlink_to(path)
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")


# ---- files and directories that go and come ----


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


# ---- what others have read ----


async def test_put_back_after_somebody_else_has_read_it(path):
    """A bad save, ``mlxd reload``, and the old text again, all between two looks: the bad one must not stand as the last word."""
    others = {"read": digest(FIRST)}
    async with watching(path, last_read=lambda: others["read"]) as rig:
        others["read"] = digest("bad = \n")
        path.write_text(FIRST)
        await rig.finds(FIRST)


async def test_back_after_somebody_else_has_missed_it(path):
    others = {"read": digest(FIRST)}
    async with watching(path, last_read=lambda: others["read"]) as rig:
        others["read"] = None
        os.utime(path)
        await rig.finds(FIRST)


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
