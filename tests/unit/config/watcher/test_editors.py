"""The ways in which editors and others write a file, and who has read it since."""

import asyncio
import os

from mlxd.config import watcher
from tests.unit.config.watcher.rig import FIRST, NEVER, Rig, digest, watching

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


async def test_what_nobody_has_read_yet_is_told_again_and_not_without_a_pause(path, monkeypatch):
    """A reload that takes long reads the next text only when it is done."""
    monkeypatch.setattr(watcher, "_TELL_AGAIN", NEVER)
    async with watching(path, last_read=lambda: digest(FIRST)) as rig:
        path.write_text("second = 2\n")
        await rig.until(lambda: len(rig.found) == 2)
        for _ in range(20):
            await asyncio.to_thread(digest, FIRST)
        assert rig.found == ["second = 2\n"] * 2
